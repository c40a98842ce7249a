"""What has happened in a test's world: rows in a file that outlives a process which dies, and its rollbacks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS effect (
    id INTEGER PRIMARY KEY, operation TEXT, key TEXT, request TEXT, reply TEXT, state TEXT, repeats INTEGER
);
CREATE TABLE IF NOT EXISTS undo (id INTEGER PRIMARY KEY, effect INTEGER, key TEXT, run TEXT);
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY, operation TEXT, mode TEXT, remaining INTEGER);
CREATE TABLE IF NOT EXISTS objection (sentence TEXT);
"""
STANDING, UNDONE, DEAD = "standing", "undone", "dead"


@dataclass(frozen=True)
class Happened:
    """One effect. Its state is standing, undone, or dead: undone before it could happen."""

    id: int
    operation: str
    key: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]
    state: str
    repeats: bool


class Ledger:
    """The rows, by their own connection each time: it outlives no fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.open() as rows:
            rows.executescript(TABLES)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A transaction, alone."""
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as rows:
            rows.execute("BEGIN IMMEDIATE")
            with rows:
                yield rows

    def effects(self) -> list[Happened]:
        """All effects, in order."""
        with self.open() as rows:
            found = rows.execute("SELECT * FROM effect ORDER BY id").fetchall()
        return [_happened(row) for row in found]

    def find(self, rows: sqlite3.Connection, operation: str, key: str) -> Happened | None:
        """The last effect of that operation under that key."""
        found = rows.execute(
            "SELECT * FROM effect WHERE operation = ? AND key = ? ORDER BY id DESC", [operation, key]
        ).fetchone()
        return _happened(found) if found else None

    def add(
        self, rows: sqlite3.Connection, operation: str, key: str, request: str, state: str, *, repeats: bool
    ) -> Mapping[str, Any]:
        """One more effect; the provider's reply to it."""
        number = rows.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM effect").fetchone()[0]
        reply = {"id": f"{operation}-{number}"}
        values = [number, operation, key, request, json.dumps(reply), state, repeats]
        rows.execute("INSERT INTO effect VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return reply

    def undo(self, rows: sqlite3.Connection, effect: Happened, key: str, run: str) -> str:
        """Take it back; the operation of an earlier effect of the run whose undo had begun before, "" if in order."""
        again = rows.execute("SELECT 1 FROM undo WHERE effect = ?", [effect.id]).fetchone()
        overtaken = rows.execute(
            "SELECT operation FROM effect JOIN undo ON undo.effect = effect.id WHERE undo.run = ? AND effect.id < ?",
            [run, effect.id],
        ).fetchone()
        rows.execute("UPDATE effect SET state = ? WHERE id = ? AND state = ?", [UNDONE, effect.id, STANDING])
        rows.execute("INSERT INTO undo (effect, key, run) VALUES (?, ?, ?)", [effect.id, key, run])
        return overtaken[0] if overtaken and not again else ""

    def order_fault(self, operation: str, mode: str, times: int) -> int:
        """Have the next calls of that operation go wrong; the fault's number."""
        with self.open() as rows:
            values = [operation, mode, times]
            rows.execute("INSERT INTO fault (operation, mode, remaining) VALUES (?, ?, ?)", values)
            number: int = rows.execute("SELECT MAX(id) FROM fault").fetchone()[0]
        return number

    def take_fault(self, operation: str) -> tuple[int, str]:
        """The number and the mode of the oldest fault that is left for it; 0 and "" if there is none."""
        with self.open() as rows:
            found: tuple[int, str] | None = rows.execute(
                "SELECT id, mode FROM fault WHERE operation = ? AND remaining > 0 ORDER BY id", [operation]
            ).fetchone()
            if found:
                rows.execute("UPDATE fault SET remaining = remaining - 1 WHERE id = ?", [found[0]])
        return found or (0, "")

    def object(self, sentence: str) -> None:
        """Keep an objection."""
        with self.open() as rows:
            rows.execute("INSERT INTO objection VALUES (?)", [sentence])

    def objections(self) -> list[str]:
        """All objections, in order."""
        with self.open() as rows:
            return [sentence for (sentence,) in rows.execute("SELECT sentence FROM objection ORDER BY rowid")]


def _happened(row: tuple[int, str, str, str, str, str, int]) -> Happened:
    number, operation, key, request, reply, state, repeats = row
    return Happened(number, operation, key, json.loads(request), json.loads(reply), state, bool(repeats))
