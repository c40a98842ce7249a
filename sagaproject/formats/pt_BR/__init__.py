"""Date formats for Brazilian Portuguese."""
