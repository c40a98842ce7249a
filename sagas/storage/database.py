"""Our connection to the database of the executions: whose transaction is open, what is repeated when it breaks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.conf import get_settings
from sagas.models import SagaExecution

T = TypeVar("T")

# libpq's PQTRANS_ACTIVE, PQTRANS_INTRANS and PQTRANS_INERROR.
OPEN_TRANSACTION = frozenset({1, 2, 3})

# PostgreSQL's serialization_failure, deadlock_detected and lock_not_available.
LOCK_ERRORS = frozenset({"40001", "40P01", "55P03"})

LONGEST_TURN = 1.0
_TURN = threading.Lock()


def alias() -> str:
    """The database of the executions."""
    return router.db_for_write(SagaExecution)


def connection() -> BaseDatabaseWrapper:
    """This thread's connection to the database of the executions."""
    return connections[alias()]


def in_transaction() -> bool:
    """Whether a transaction is open that is not a test's own."""
    here = connection()
    if here.in_atomic_block:
        return not _opened_by_a_test(here)
    return not here.get_autocommit()


def in_tests_transaction() -> bool:
    """Whether a test's transaction is open: no other connection sees what we write."""
    here = connection()
    return here.in_atomic_block and _opened_by_a_test(here)


def once_committed(function: Callable[[], None]) -> None:
    """Call it now or, inside a transaction, after its commit."""
    if in_transaction():
        transaction.on_commit(function, using=alias())
    else:
        function()


@contextmanager
def one_commit() -> Iterator[None]:
    """Everything inside commits together or not at all."""
    with transaction.atomic(using=alias()):
        yield


@contextmanager
def in_turn(here: BaseDatabaseWrapper) -> Iterator[None]:
    """Let the threads of this process write to SQLite one after the other.

    SQLite has one writer at a time, and whoever finds it busy sleeps and tries again; a lock of our own wakes the
    next one at once. It only saves time: who cannot have it soon goes on without, and leaves it to SQLite.
    """
    lock, ours = _TURN, False
    if here.vendor == "sqlite" and not here.in_atomic_block:
        ours = lock.acquire(timeout=LONGEST_TURN)
    try:
        yield
    finally:
        if ours:
            lock.release()


def persist(write: Callable[[], T], find: Callable[[], T | None] | None = None) -> T:
    """Do it; where the connection breaks, again on a new one, for as long as a lease lasts at most.

    `find` looks for the answer that got lost with the connection (promise 10); it is asked when the write,
    repeated, finds nothing to do.
    """
    give_up, pause, broke = time.monotonic() + get_settings().LEASE, 0.02, False
    while True:
        connected = broke or connection().connection is not None
        try:
            done = write()
            found = find() if find and broke and not done else None
        except (OperationalError, InterfaceError) as error:
            connected = connected or connection().connection is not None
            if time.monotonic() > give_up or not (connected and _worth_repeating(error)):
                raise
        else:
            return found or done
        broke = True
        connection().close()
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def inside_blocks() -> frozenset[str]:
    """The databases on which this thread is inside an atomic block."""
    return frozenset(here.alias for here in connections.all(initialized_only=True) if here.in_atomic_block)


def drop_interrupted_connections(inside: frozenset[str]) -> None:
    """A call that was cut off may have left a connection in the middle of a query, or of a block; use new ones.

    `inside` are the databases on which a block was open before the call: who opened it still needs its connection.
    """
    for here in connections.all(initialized_only=True):
        if here.alias not in inside:
            here.close()
            if here.in_atomic_block:
                del connections[here.alias]  # in its block it would not open again


def drop_open_transaction() -> bool:
    """Whether a step left a transaction open on our connection; what it holds is rolled back.

    Our next checkpoint would otherwise be part of it, and be gone with it.
    """
    here = connection()
    if here.connection is None or not (here.in_atomic_block or not here.get_autocommit() or _transaction_status(here)):
        return False
    here.close()
    del connections[here.alias]
    return True


def _transaction_status(here: BaseDatabaseWrapper) -> bool:
    """Whether the database itself says that a transaction is open, also one that Django does not know of."""
    if here.vendor == "sqlite":
        return bool(here.connection.in_transaction)
    return here.connection.pgconn.transaction_status in OPEN_TRANSACTION


def _worth_repeating(error: Exception) -> bool:
    """Whether the connection, or a lock, was what failed, and not the statement."""
    here = connection()
    if here.in_atomic_block:
        return False
    if here.vendor == "sqlite":
        return "locked" in str(error)
    # What the connection looks like now tells nothing: Django connects anew on its way out of a transaction.
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code in LOCK_ERRORS or code.startswith(("08", "57P"))


def _opened_by_a_test(here: BaseDatabaseWrapper) -> bool:
    """Django's own rule for atomic(durable=True): the innermost block is the test's."""
    return bool(getattr(here.atomic_blocks[-1], "_from_testcase", False))


def _forget_turns() -> None:
    """In a forked child nobody is left to give a turn back."""
    global _TURN
    _TURN = threading.Lock()


os.register_at_fork(after_in_child=_forget_turns)
