"""A soak in which processes, databases and a provider fail at random, and no promise may break.

`python -m tests.chaos` runs it and prints a table. The provider (provider/) is a process of its own with a ledger that
objects; the sagas (shop/) call it over HTTP from the workers of supervised clusters; a monkey kills, pauses and
restarts; and in the end every saga is judged by its tables and by the provider's ledger.
"""
