"""Inspect queries: the statements that a function sends and the rows that the database reads."""

import json
from collections.abc import Iterator, Sequence

from django.db import connection, transaction


def statements_of(question) -> Iterator[tuple[str, object]]:
    """Call `question` and return the SQL and parameters of each statement on `sagas_execution` that it sends."""
    asked = []

    def watch(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        question()
    return ((sql, params) for sql, params in asked if "sagas_execution" in sql)


def rows_read(sql: str, parameters: object, table: str = "sagas_execution") -> int:
    """Count the rows of the table that PostgreSQL reads for this statement, including the rows that it filters out."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
        found = cursor.fetchone()[0]
        transaction.set_rollback(True)
    plan = json.loads(found) if isinstance(found, str) else found
    return sum(_rows_of(node) for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") == table)


def _nodes(node: dict) -> Iterator[dict]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _rows_of(node: dict) -> int:
    useless = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return round((node["Actual Rows"] + sum(node.get(key, 0) for key in useless)) * node["Actual Loops"])


def scans(
    sql: str, parameters: object, quick: Sequence[str], tables: Sequence[str] = ("sagas_execution",)
) -> list[str]:
    """Return the steps of SQLite's query plan on these tables that match no text of `quick`.

    Such a step may read all rows of a table. `tables` may contain aliases.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        steps = [row[3] for row in cursor.fetchall() if any(table in row[3] for table in tables)]
    assert steps
    return [step for step in steps if not any(known in step for known in quick)]
