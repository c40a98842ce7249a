"""The shop's provider: an HTTP server on loopback, in a process of its own, whose ledger outlives it."""
