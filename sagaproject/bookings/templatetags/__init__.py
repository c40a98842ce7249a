"""Template filters of the booking page."""
