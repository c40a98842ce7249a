"""The commands, as operators use them."""
