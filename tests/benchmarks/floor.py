"""The floor: the least that a durable saga of four steps can cost, written with the plain database driver.

The floor writes the same rows, columns, indexes and payload as a saga, in the same commits: one INSERT, then four
times an UPDATE of the position together with the INSERT of a step run.
"""

import datetime as dt
import json
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from sagas.models import time_ordered_uuid

BEGIN = """
INSERT INTO sagas_execution (
    saga_id, saga_name, state, input, context, plan, input_hash, priority, leased, worker,
    created_at, started_at, due_at, rank_at, run, steps_completed, failed_step, compensation_performed,
    needs_attention, held, version, lost, recoveries, action_started, pivot_reached, budget_since, keys_since
) VALUES (
    {p}, {p}, 'in_progress', {p}, {p}, {p}, {p}, 1, TRUE, {p},
    {p}, {p}, {p}, {p}, 1, '[]', '', FALSE, FALSE, '', 1, FALSE, 0, FALSE, FALSE, 0, 0
) RETURNING id
"""
MOVE = """
UPDATE sagas_execution SET version = version + 1, context = {p}, steps_completed = {p}
WHERE id = {p} AND version = {p} RETURNING id
"""
END = """
UPDATE sagas_execution SET version = version + 1, context = {p}, steps_completed = {p},
    state = 'succeeded', leased = FALSE, due_at = NULL, rank_at = NULL, finished_at = {p}
WHERE id = {p} AND version = {p} RETURNING id
"""
COLUMNS = (
    "id, step, direction, run, attempt, outcome, output, changes, error_type, error_message, idempotency_key, "
    "started_at, finished_at, worker, ending, retry_at, resolution, sequence"
)
VALUES = "{uuid}, {p}, 'action', 1, 1, 'succeeded', {p}, '{{}}', '', '', {p}, {time}, {time}, {p}, '', NULL, '', {p}"
FILE = f"INSERT INTO sagas_steprun ({COLUMNS}, execution_id) VALUES ({VALUES}, {{p}})"
FILED = f"WITH mine AS (%s) INSERT INTO sagas_steprun ({COLUMNS}, execution_id) SELECT {VALUES}, mine.id FROM mine"

PSYCOPG = {"p": "%s", "uuid": "%s::uuid", "time": "%s::timestamptz"}
SQLITE = {"p": "?", "uuid": "?", "time": "?"}


class PostgresFloor:
    """The floor with psycopg's defaults: autocommit, one statement per step, automatically prepared statements."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import psycopg

        names = {"NAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
        given = {names[name]: value for name, value in settings.items() if name in names and value}
        self.connection = psycopg.connect(**given, autocommit=True)
        self.backends = [self.connection.info.backend_pid]
        self._begin = BEGIN.format(**PSYCOPG)
        self._move, self._end = (FILED.replace("%s", text, 1).format(**PSYCOPG) for text in (MOVE, END))

    def write(self, rows: "Rows") -> None:
        execute = self.connection.execute
        pk = execute(self._begin, rows.begin()).fetchall()[0][0]
        for version in (1, 2, 3, 4):
            statement = self._end if version == 4 else self._move
            execute(statement, [*rows.position(pk, version), *rows.run(version)])

    def close(self) -> None:
        self.connection.close()


class SqliteFloor:
    """The floor with sqlite3 on the same file, with the same durability: WAL, synchronous FULL, BEGIN IMMEDIATE."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.connection = sqlite3.connect(settings["NAME"], isolation_level=None)
        self.connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        self.backends: list[int] = []
        self._begin, self._move, self._end, self._file = (text.format(**SQLITE) for text in (BEGIN, MOVE, END, FILE))

    def write(self, rows: "Rows") -> None:
        execute = self.connection.execute
        pk = execute(self._begin, rows.begin(plain=True)).fetchall()[0][0]
        for version in (1, 2, 3, 4):
            execute("BEGIN IMMEDIATE")
            execute(self._end if version == 4 else self._move, rows.position(pk, version, plain=True)).fetchall()
            execute(self._file, [*rows.run(version, plain=True), pk])
            execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


class Rows:
    """The parameters of one saga's statements; `plain` is for drivers that support neither times nor UUIDs."""

    def __init__(self, saga_id: str, saga_name: str, steps: list[str], payload: dict[str, Any], worker: str) -> None:
        self.saga_id, self.saga_name, self.steps, self.worker = saga_id, saga_name, steps, worker
        self.payload = json.dumps(payload)
        self.digest = uuid.uuid4().hex * 2

    def begin(self, *, plain: bool = False) -> list[Any]:
        now = _now(plain)
        content = [self.payload, self.payload, json.dumps(self.steps), self.digest]
        return [self.saga_id, self.saga_name, *content, self.worker, now, now, now, now]

    def position(self, pk: int, version: int, *, plain: bool = False) -> list[Any]:
        ended = [_now(plain)] if version == len(self.steps) else []
        return [self.payload, json.dumps(self.steps[:version]), *ended, pk, version]

    def run(self, version: int, *, plain: bool = False) -> list[Any]:
        step, run_id, now = self.steps[version - 1], time_ordered_uuid(), _now(plain)
        key = f"{self.saga_id}:1:{step}"
        return [run_id.hex if plain else run_id, step, None, key, now, now, self.worker, version + 1]


def _now(plain: bool) -> Any:
    now = dt.datetime.now(dt.UTC)
    return now.replace(tzinfo=None).isoformat(" ") if plain else now


FLOORS: dict[str, Callable[[dict[str, Any]], Any]] = {"postgresql": PostgresFloor, "sqlite": SqliteFloor}
