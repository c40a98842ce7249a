"""The HTTP interface: start sagas, follow them, act on them. A host project includes `sagas.api.urls`."""
