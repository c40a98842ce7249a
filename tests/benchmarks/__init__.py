"""Benchmarks that measure the cost of a saga; run them with `make bench`."""
