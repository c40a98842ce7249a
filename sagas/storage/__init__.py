"""The hot path in hand-written SQL: insert, claim, renew, checkpoint. All other code uses the ORM.

Every statement that changes an existing execution is fenced by its version (promise 8).

Promises: docs/GUARANTEES.md.
"""

from .checkpoint import (
    Attached,
    Update,
    Written,
    find_step_run,
    find_written,
    mark_started,
    pending_request_of,
    write_checkpoint,
)
from .claim import UNLIMITED_RECOVERIES, claim, claim_due, due_in, expire, find_all_claimed, find_claimed, renew
from .insert import CHANNEL, find_inserted, insert_execution, save_references, wake_workers
from .sql import most_connections

__all__ = [
    "CHANNEL",
    "UNLIMITED_RECOVERIES",
    "Attached",
    "Update",
    "Written",
    "claim",
    "claim_due",
    "due_in",
    "expire",
    "find_all_claimed",
    "find_claimed",
    "find_inserted",
    "find_step_run",
    "find_written",
    "insert_execution",
    "mark_started",
    "most_connections",
    "pending_request_of",
    "renew",
    "save_references",
    "wake_workers",
    "write_checkpoint",
]
