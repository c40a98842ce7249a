"""The shop's provider: an HTTP server in a separate process, whose ledger is kept when it is killed."""
