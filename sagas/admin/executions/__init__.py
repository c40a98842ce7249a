"""The list of executions: filters, rows and export."""
