"""A soak test: processes, databases and a provider fail at random, and every promise must hold.

`python -m tests.chaos` runs it and prints a table. The provider (provider/) is a separate process, a strict fake with a
ledger. The sagas (shop/) call it over HTTP from the workers of supervised clusters. A chaos monkey kills, pauses and
restarts processes. In the end promises.py checks the saga tables and the provider's ledger.
"""
