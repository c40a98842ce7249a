"""Change the history without the database triggers that protect it.

The owner of the tables can do the same: drop the triggers, change rows, and restore the triggers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import connection, transaction

TABLES = ("sagas_steprun", "sagas_event")
# PostgreSQL refuses to alter a table while deferred foreign key checks on the table are pending.
ALTER = """
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE sagas_steprun {what} TRIGGER USER;
ALTER TABLE sagas_event {what} TRIGGER USER;
SET CONSTRAINTS ALL DEFERRED
"""
GUARDS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s)"


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Open a transaction in which the triggers do not protect the history. Restore the triggers at its end."""
    without_guards = _unguarded_postgresql if connection.vendor == "postgresql" else _unguarded_sqlite
    with transaction.atomic(), without_guards():
        yield


def tamper(sql: str, *parameters: object) -> None:
    """Execute a statement that changes the history, without the triggers."""
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


@contextlib.contextmanager
def _unguarded_postgresql() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(ALTER.format(what="DISABLE"))
        yield
        cursor.execute(ALTER.format(what="ENABLE"))


@contextlib.contextmanager
def _unguarded_sqlite() -> Iterator[None]:
    with connection.cursor() as cursor:
        guards = cursor.execute(GUARDS, TABLES).fetchall()
        for name, _ in guards:
            cursor.execute(f"DROP TRIGGER {name}")
        yield
        for _, sql in guards:
            cursor.execute(sql)
