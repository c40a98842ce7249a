"""The connection to the executions' database: open transactions, and writes that are repeated when it breaks."""

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
    """Return the alias of the executions' database."""
    return router.db_for_write(SagaExecution)


def connection() -> BaseDatabaseWrapper:
    """Return this thread's connection to the executions' database."""
    return connections[alias()]


def in_transaction() -> bool:
    """Return whether a transaction is open, apart from a test's own."""
    here = connection()
    if here.in_atomic_block:
        return not _opened_by_a_test(here)
    return not here.get_autocommit()


def in_tests_transaction() -> bool:
    """Return whether a test's transaction is open, in which no other connection sees what we write."""
    here = connection()
    return here.in_atomic_block and _opened_by_a_test(here)


def once_committed(function: Callable[[], None]) -> None:
    """Call the function now or, inside a transaction, after its commit."""
    if in_transaction():
        transaction.on_commit(function, using=alias())
    else:
        function()


@contextmanager
def one_commit() -> Iterator[None]:
    """Commit everything inside together, or nothing."""
    with transaction.atomic(using=alias()):
        yield


@contextmanager
def in_turn(here: BaseDatabaseWrapper) -> Iterator[None]:
    """Let the threads of this process write to SQLite one after another.

    SQLite allows one writer, and a second one sleeps and tries again; our lock wakes the next thread at once. It only
    saves time: a thread that does not get it within LONGEST_TURN goes on without it.
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
    """Write; if the connection breaks, write again on a new one, for at most the length of a lease.

    `find` looks for the answer that was lost with the connection (promise 10), if the repeated write finds nothing to
    do.
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
    """Return the databases on which this thread is inside an atomic block."""
    return frozenset(here.alias for here in connections.all(initialized_only=True) if here.in_atomic_block)


def drop_interrupted_connections(inside: frozenset[str]) -> None:
    """Close the connections that an interrupted call may have left in the middle of a query or a block.

    `inside` are the databases on which a block was open before the call: its opener still needs the connection.
    """
    for here in connections.all(initialized_only=True):
        if here.alias not in inside:
            here.close()
            if here.in_atomic_block:
                del connections[here.alias]  # Inside its block it would not open again.


def drop_open_transaction() -> bool:
    """Roll back a transaction that a step left open on our connection; return whether there was one.

    Otherwise our next checkpoint would be part of it, and be lost with it.
    """
    here = connection()
    if here.connection is None:
        return False
    # The database may also have a transaction that Django does not know.
    if here.in_atomic_block or not here.get_autocommit():
        is_open = True
    elif here.vendor == "sqlite":
        is_open = here.connection.in_transaction
    else:
        is_open = here.connection.pgconn.transaction_status in OPEN_TRANSACTION
    if is_open:
        here.close()
        del connections[here.alias]
    return is_open


def _worth_repeating(error: Exception) -> bool:
    """Return whether the connection or a lock failed, rather than the statement."""
    here = connection()
    if here.in_atomic_block:
        return False
    if here.vendor == "sqlite":
        return "locked" in str(error)
    # The connection's state now says nothing: Django connects again on its way out of a transaction.
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code in LOCK_ERRORS or code.startswith(("08", "57P"))


def _opened_by_a_test(here: BaseDatabaseWrapper) -> bool:
    """Return whether the innermost block is a test's: Django's own rule for atomic(durable=True)."""
    return bool(getattr(here.atomic_blocks[-1], "_from_testcase", False))


def _forget_turns() -> None:
    """Make a new lock in a forked child, where no thread would release the old one."""
    global _TURN
    _TURN = threading.Lock()


os.register_at_fork(after_in_child=_forget_turns)
