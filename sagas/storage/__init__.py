"""The hot path, in hand-written SQL: begin, claim, renew, checkpoint. Everything else is the ORM.

Every statement that moves an execution is fenced by its version. `{now}`, `{after}` (seconds from now) and `{rank}`
(the same, less the priority's ageing) are the database's clock on PostgreSQL and the host's on SQLite, where both are
one machine.
"""

from .checkpoint import Moved, Position, checkpoint, filed, find_moved, mark, pending_request_of, save_references
from .claim import UNLIMITED_RECOVERIES, claim, claim_due, due_in, expire, find_all_claimed, find_claimed, renew
from .insert import CHANNEL, find_inserted, insert_execution, wake_workers
from .sql import most_connections

__all__ = [
    "CHANNEL",
    "UNLIMITED_RECOVERIES",
    "Moved",
    "Position",
    "checkpoint",
    "claim",
    "claim_due",
    "due_in",
    "expire",
    "filed",
    "find_all_claimed",
    "find_claimed",
    "find_inserted",
    "find_moved",
    "insert_execution",
    "mark",
    "most_connections",
    "pending_request_of",
    "renew",
    "save_references",
    "wake_workers",
]
