"""The HTTP API: start sagas, read executions, operate on them. A project includes `sagas.api.urls`."""
