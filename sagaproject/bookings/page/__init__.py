"""The booking page. Customers use it without an account."""
