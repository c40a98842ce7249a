"""Carries a statement out: in the words of the database and of its clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.conf import get_settings
from sagas.models.clock import CLOCK

from .database import connection

MOST_CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


def most_connections() -> int:
    """How many connections PostgreSQL allows to those who are not its superusers."""
    row = execute(connection(), MOST_CONNECTIONS, [])
    return int(row[0])


def statement(template: str, vendor: str) -> str:
    """The statement in the words of the database's clock."""
    return _timed_sql(template, vendor, CLOCK.ahead)


def one(template: str, parameters: Sequence[Any]) -> Any:
    """The row that it gives back, or None; on the connection at hand."""
    here = connection()
    return execute(here, statement(template, here.vendor), parameters)


def execute(here: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> Any:
    """The same, of a whole statement."""
    with here.cursor() as cursor:
        if here.vendor == "postgresql":
            _let_prepare(here, cursor)
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()  # to its end: SQLite commits an UPDATE … RETURNING only then
    return rows[0] if rows else None


def due_times(seconds: float | None, priority: int) -> list[float | None]:
    """The parameters of due_at and rank_at."""
    if seconds is None:
        return [None, None]
    return [round(seconds, 3), round(seconds - int(priority) * get_settings().AGEING, 3)]


def moment(value: Any) -> Any:
    """A time from a raw row, aware; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


@lru_cache(maxsize=200)
def _timed_sql(template: str, vendor: str, ahead: float) -> str:  # noqa: ARG001  (it is a key of the cache)
    """By how far ahead the clock is, too, which in production is nothing."""
    for name, words in CLOCK.sql(vendor).items():
        template = template.replace(f"{{{name}}}", words)
    return template


def _let_prepare(here: BaseDatabaseWrapper, cursor: Any) -> None:
    """Where OPTIONS has a `prepare_threshold`, let the server keep its plans of the few statements made here.

    Django's cursor writes the parameters into the statement, so that no two are alike; planning a checkpoint
    anew costs the server more than carrying it out.
    """
    if here.connection.prepare_threshold is not None:
        from psycopg import Cursor

        cursor.cursor = Cursor(here.connection)
