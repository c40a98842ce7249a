"""`Prefer: wait=N` (RFC 7240): an answer that is held back until the saga has ended."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sagas.conf import get_settings
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator

LONGEST = 30.0
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)
_lock = threading.Lock()
_waiting = 0


def wished(prefer: str) -> float:
    """The seconds that a Prefer header asks for, at most LONGEST; 0.0 = none, or none that can be understood."""
    found = WAIT.search(prefer)
    return min(float(found[1]), LONGEST) if found else 0.0


def wait(execution: SagaExecution, seconds: float) -> SagaExecution | None:
    """The execution as it is when it has ended, or when the time is over.

    None at once where API_WAITERS requests of this process wait already: the others need its threads.
    """
    with _place() as free:
        return get_saga_orchestrator().wait(execution.saga_id, seconds) if free else None


def places_taken() -> int:
    """How many requests of this process wait."""
    return _waiting


@contextmanager
def _place() -> Iterator[bool]:
    global _waiting
    with _lock:
        free = _waiting < get_settings().API_WAITERS
        _waiting += free
    try:
        yield free
    finally:
        with _lock:
            _waiting -= free


def _forget() -> None:
    """In a forked child nobody waits."""
    global _waiting, _lock
    _waiting, _lock = 0, threading.Lock()


os.register_at_fork(after_in_child=_forget)
