"""Six ports to external providers, each with a sandbox, with one family of results and errors.

`integrations.registry` returns the provider that settings.INTEGRATIONS names for a port.
"""
