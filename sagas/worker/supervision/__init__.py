"""Supervision of a cluster. The processes report to a supervisor, which replaces the cluster when a process fails."""
