"""The management commands of the demo project."""
