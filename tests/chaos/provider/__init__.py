"""The shop's provider: an HTTP server in a separate process; its ledger survives a kill."""
