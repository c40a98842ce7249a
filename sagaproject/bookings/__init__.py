"""The demo business: its bookings, its payments, and a saga for each."""
