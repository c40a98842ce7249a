"""Support `Prefer: wait=N` (RFC 7240): delay the response until the execution has ended."""

from __future__ import annotations

import os
import re
import threading

from sagas.conf import get_settings
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator

MAX_SECONDS = 30.0
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)
_lock = threading.Lock()
_waiting = 0


def requested_seconds(prefer: str) -> float:
    """Return the seconds of `wait` in a Prefer header, at most MAX_SECONDS, or 0.0 without `wait`."""
    match = WAIT.search(prefer)
    return min(float(match[1]), MAX_SECONDS) if match else 0.0


def wait_for_end(execution: SagaExecution, seconds: float) -> SagaExecution | None:
    """Wait until the execution has ended, at most `seconds`, and return it.

    If API_WAITERS requests of this process wait already, return None at once, because other requests need threads.
    """
    global _waiting
    with _lock:
        if _waiting >= get_settings().API_WAITERS:
            return None
        _waiting += 1
    try:
        return get_saga_orchestrator().wait(execution.saga_id, seconds)
    finally:
        with _lock:
            _waiting -= 1


def waiting_requests() -> int:
    """Return the number of waiting requests in this process."""
    return _waiting


def _reset() -> None:
    """Set the count of waiting requests to zero in a forked child."""
    global _waiting, _lock
    _waiting, _lock = 0, threading.Lock()


os.register_at_fork(after_in_child=_reset)
