"""Present an execution to people: step status, diagnosis, messages, redaction."""
