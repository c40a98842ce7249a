"""The operators' desk: stock Django admin, with the sagas' own pages.

Rows are made, changed and deleted by sagas alone; what people may do goes through sagas.operations.
"""

from . import bulk_operations, compensations, definitions, executions, home, providers, workers

__all__ = ["bulk_operations", "compensations", "definitions", "executions", "home", "providers", "workers"]
