"""What a saga costs: `make bench`."""
