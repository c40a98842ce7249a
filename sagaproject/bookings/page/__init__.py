"""The booking page for customers, without an account."""
