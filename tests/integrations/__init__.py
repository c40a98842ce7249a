"""The ports' contracts, and the sandboxes that keep them."""
