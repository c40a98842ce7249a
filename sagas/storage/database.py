"""The connection to the executions' database: transactions, and writes that are repeated if the connection breaks.

Promises: docs/GUARANTEES.md.
"""

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
    """Return whether a transaction is open on the executions' database in this thread.

    A test's own transaction does not count. Without autocommit, a transaction is always open.
    """
    here = connection()
    if here.in_atomic_block:
        return not _opened_by_a_test(here)
    return not here.get_autocommit()


def in_tests_transaction() -> bool:
    """Return whether the open transaction is a test's. No other connection sees what we write in it."""
    here = connection()
    return here.in_atomic_block and _opened_by_a_test(here)


def once_committed(function: Callable[[], None]) -> None:
    """Call the function after the commit of the open transaction, or now if none is open.

    After a rollback the function is not called.
    """
    if in_transaction():
        transaction.on_commit(function, using=alias())
    else:
        function()


@contextmanager
def one_commit() -> Iterator[None]:
    """Commit everything inside the block together, or nothing."""
    with transaction.atomic(using=alias()):
        yield


@contextmanager
def in_turn(here: BaseDatabaseWrapper) -> Iterator[None]:
    """Let the threads of this process write to SQLite one after another. No effect on PostgreSQL.

    SQLite allows one writer, and a second one sleeps and tries again. Our lock wakes the next thread at once. A thread
    that waits longer than LONGEST_TURN continues without the lock, because SQLite itself keeps writers apart.
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
    """Call `write` and return its result. If the connection breaks or a lock fails, repeat it (promise 10).

    Repeats for at most LEASE seconds, then raises OperationalError or InterfaceError. Inside a transaction it does not
    repeat. If a repeated `write` returns nothing, `find` looks for the result of the write that took place before the
    answer was lost. `write` must therefore do nothing if it has taken place already.
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
    """Return the aliases of the databases on which this thread is inside an atomic block."""
    return frozenset(here.alias for here in connections.all(initialized_only=True) if here.in_atomic_block)


def drop_interrupted_connections(inside: frozenset[str]) -> None:
    """Close the connections that an interrupted call may have left in the middle of a query or a block.

    `inside` has the aliases of the databases with an open block before the call. Their connections stay, because the
    code that opened the block still needs them.
    """
    for here in connections.all(initialized_only=True):
        if here.alias not in inside:
            here.close()
            if here.in_atomic_block:
                del connections[here.alias]  # A closed connection does not open again inside its block.


def drop_open_transaction() -> bool:
    """Roll back a transaction that a step left open on our connection. Return whether there was one.

    Without this, our next checkpoint would be part of that transaction and be lost with it.
    """
    here = connection()
    if here.connection is None:
        return False
    # The step may also have opened a transaction by SQL, which Django does not know.
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
    """Return whether the connection or a lock failed. An error of the statement itself is not repeated."""
    here = connection()
    if here.in_atomic_block:
        return False
    if here.vendor == "sqlite":
        return "locked" in str(error)
    # Do not ask the connection whether it works: Django has connected again when it left the transaction.
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code in LOCK_ERRORS or code.startswith(("08", "57P"))


def _opened_by_a_test(here: BaseDatabaseWrapper) -> bool:
    """Return whether a test opened the innermost block. Django's atomic(durable=True) uses the same rule."""
    return bool(getattr(here.atomic_blocks[-1], "_from_testcase", False))


def _forget_turns() -> None:
    """Replace the lock in a forked child, because no thread there would release the old one."""
    global _TURN
    _TURN = threading.Lock()


os.register_at_fork(after_in_child=_forget_turns)
