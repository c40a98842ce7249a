"""Supervision of a cluster: its processes report to a supervisor, which replaces the cluster when it fails."""
