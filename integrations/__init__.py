"""Adapters to the outside world: six ports, each with a sandbox, behind one family of results and errors.

`integrations.registry` gives the provider that settings.INTEGRATIONS names for a port.
"""
