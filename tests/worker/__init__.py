"""Tests that start, kill, pause and overload real clusters of workers on the test database."""
