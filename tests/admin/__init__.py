"""The operators' admin, through its pages."""
