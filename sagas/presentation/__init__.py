"""How an execution is shown to people: step status, diagnosis, messages, redaction."""
