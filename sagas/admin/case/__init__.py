"""The page of one execution: its diagnosis, steps, timeline, events and notes."""
