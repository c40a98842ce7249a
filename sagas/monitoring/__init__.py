"""Monitoring: health, system checks, statistics, metrics, and the audit of histories."""
