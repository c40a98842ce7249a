"""Real clusters of workers, on the test's database: started, killed, paused, overloaded."""
