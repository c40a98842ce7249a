"""The Django admin of the sagas.

The admin never adds, changes or deletes rows directly: every change is an operation of `sagas.operations`.
"""

from . import compensations, definitions, home, providers
from .bulk import admin as bulk
from .executions import admin as executions

__all__ = ["bulk", "compensations", "definitions", "executions", "home", "providers"]
