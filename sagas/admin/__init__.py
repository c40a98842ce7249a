"""The operators' desk: stock Django admin, with the sagas' own pages.

Rows are made, changed and deleted by sagas alone; what people may do goes through sagas.operations.
"""

from . import batches, compensations, definitions, executions, home, providers, workers

__all__ = ["batches", "compensations", "definitions", "executions", "home", "providers", "workers"]
