"""Tests that need a real browser: the booking page and the admin."""
