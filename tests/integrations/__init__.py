"""Contract tests of the ports, which each provider has to pass, and tests of the sandboxes."""
