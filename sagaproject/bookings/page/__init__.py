"""The booking page: what customers see, without an account, in their browser."""
