"""Execute SQL statements: put the database's clock into their text, and let PostgreSQL prepare them.

The statements use three times. On PostgreSQL they come from the database's clock; on SQLite from the host's, which is
the same machine. `{now}` is the current time, `{due_at}` is `%(due_in)s` seconds from now, and `{rank_at}` is
`%(rank_in)s` seconds from now. A claim of several rows uses `{rank_by_priority}`: `{due_at}`, earlier by the row's own
priority times `%(ageing)s` seconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.conf import get_settings
from sagas.models.clock import CLOCK
from sagas.models.fields import dumps

from .database import connection

CLOCK_SQL = {
    "postgresql": {
        "now": "(statement_timestamp(){ahead})",
        "due_at": "(statement_timestamp(){ahead} + make_interval(secs => %(due_in)s))",
        "rank_at": "(statement_timestamp(){ahead} + make_interval(secs => %(rank_in)s))",
        "rank_by_priority": (
            "(statement_timestamp(){ahead} + make_interval(secs => %(due_in)s - priority * %(ageing)s))"
        ),
    },
    # The same format as Django uses (microseconds only if not 0), because SQLite compares times as texts.
    "sqlite": {
        "now": "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead}) || '000', '.000000', '')",
        "due_at": (
            "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead}, %(due_in)s || ' seconds') || '000',"
            " '.000000', '')"
        ),
        "rank_at": (
            "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead}, %(rank_in)s || ' seconds') || '000',"
            " '.000000', '')"
        ),
        "rank_by_priority": (
            "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead},"
            " (%(due_in)s - priority * %(ageing)s) || ' seconds') || '000', '.000000', '')"
        ),
    },
}
# Added to each time if a test has moved the clock forward.
AHEAD_SQL = {"postgresql": " + make_interval(secs => {seconds:.3f})", "sqlite": ", '+{seconds:.3f} seconds'"}

MOST_CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


def most_connections() -> int:
    """Return how many connections PostgreSQL allows to users other than its superusers.

    Works only on PostgreSQL.
    """
    row = execute(connection(), MOST_CONNECTIONS, {})
    return int(row[0])


def render(statement: str, vendor: str) -> str:
    """Replace `{now}` and the other times in the statement by SQL for this vendor, postgresql or sqlite."""
    return _rendered(statement, vendor, CLOCK.ahead)


def execute(here: BaseDatabaseWrapper, statement: str, parameters: Mapping[str, Any]) -> Any:
    """Execute the statement on the connection `here` and return its first row, or None."""
    with open_cursor(here) as cursor:
        cursor.execute(render(statement, here.vendor), parameters)
        return first_row(cursor)


def open_cursor(here: BaseDatabaseWrapper) -> Any:
    """Open a cursor that lets PostgreSQL prepare its statements, if OPTIONS has a `prepare_threshold`.

    Django's own cursor writes the parameters into the text, so every text is new. To plan a checkpoint costs the server
    more than to execute it.
    """
    cursor = here.cursor()
    if here.vendor == "postgresql" and here.connection.prepare_threshold is not None:
        from psycopg import Cursor

        cursor.cursor = Cursor(here.connection)
    return cursor


def first_row(cursor: Any) -> Any:
    """Return the first row, or None. Fetches all rows, because SQLite commits UPDATE … RETURNING only after that."""
    rows = cursor.fetchall()
    return rows[0] if rows else None


def due_parameters(seconds: float | None, priority: int) -> dict[str, float | None]:
    """Return the parameters of `{due_at}` and `{rank_at}` for an execution that is due in `seconds`; None = never.

    A higher priority ranks an execution earlier by AGEING seconds for each level.
    """
    if seconds is None:
        return {"due_in": None, "rank_in": None}
    return {
        "due_in": round(seconds, 3),
        "rank_in": round(seconds - int(priority) * get_settings().AGEING, 3),
    }


def column_parameters(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as SQL parameters of the same names: JSON as text, enum members as their values."""
    parameters = {}
    for column, value in columns.items():
        if isinstance(value, (dict, list)):
            parameters[column] = dumps(value)
        else:
            parameters[column] = value.value if isinstance(value, Enum) else value
    return parameters


def aware_time(value: Any) -> Any:
    """Return a time from a raw row (a text on SQLite) as an aware datetime; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


@lru_cache(maxsize=200)
def _rendered(statement: str, vendor: str, ahead: float) -> str:
    shift = AHEAD_SQL[vendor].format(seconds=ahead) if ahead else ""
    return statement.format(**{name: sql.format(ahead=shift) for name, sql in CLOCK_SQL[vendor].items()})
