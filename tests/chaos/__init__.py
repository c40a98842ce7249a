"""A soak test: processes, databases and a provider fail at random, and every promise must hold.

`python -m tests.chaos` runs the test and prints a table. The provider (provider/) is a strict fake in a separate
process, with a ledger. Supervised clusters run the sagas (shop/), which call the provider over HTTP. A chaos monkey
kills, pauses and restarts processes. At the end, promises.py checks the saga tables and the provider's ledger.
"""
