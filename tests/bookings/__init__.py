"""Tests of the demo project: the two sagas and their steps, the bookings, the booking page and the API."""
