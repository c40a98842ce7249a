"""Bulk operations: selection, preview and progress."""
