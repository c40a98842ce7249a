"""Runs one execution: planner and history are pure; attempt, checkpoint, deadline and lease act."""
