"""What saga_demo shows: each saga in each outcome, and workers that run some of them."""
