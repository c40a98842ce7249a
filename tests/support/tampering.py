"""Changes what has happened: as the owner of the tables can, who takes the guards away and puts them back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import connection, transaction

TABLES = ("sagas_steprun", "sagas_event")
# PostgreSQL does not alter a table for which it still has foreign keys to look after.
ALTER = """
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE sagas_steprun {what} TRIGGER USER;
ALTER TABLE sagas_event {what} TRIGGER USER;
SET CONSTRAINTS ALL DEFERRED
"""
GUARDS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s)"


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Within the block the database lets the history be changed."""
    without_guards = _unguarded_postgresql if connection.vendor == "postgresql" else _unguarded_sqlite
    with transaction.atomic(), without_guards():
        yield


def tamper(sql: str, *parameters: object) -> None:
    """Falsify the history by this statement."""
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
