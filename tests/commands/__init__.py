"""Tests of the management commands: their output, errors and exit codes."""
