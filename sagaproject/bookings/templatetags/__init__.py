"""Template tags of the booking page."""
