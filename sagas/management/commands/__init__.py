"""One file a command; what they share is in the package above."""
