"""The database of the fake provider: a separate SQLite file, so that it survives killed processes and rollbacks."""

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
CREATE TABLE IF NOT EXISTS reversal (id INTEGER PRIMARY KEY, effect INTEGER, key TEXT, run TEXT);
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY, operation TEXT, mode TEXT, remaining INTEGER);
CREATE TABLE IF NOT EXISTS violation (sentence TEXT);
"""
ACTIVE, REVERSED, CANCELLED = "active", "reversed", "cancelled"


@dataclass(frozen=True)
class LedgerEntry:
    """One effect. `state` is "active", "reversed", or "cancelled" (the reversal came before the effect)."""

    id: int
    operation: str
    key: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]
    state: str
    repeats: bool


class Ledger:
    """Reads and writes the file. Each transaction opens a new connection, because connections do not survive a fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.open() as rows:
            rows.executescript(TABLES)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open an exclusive transaction on the ledger's file.

        It commits at the end of the block and rolls back on an exception. Other processes wait up to 30 s for it.
        """
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as rows:
            rows.execute("BEGIN IMMEDIATE")
            with rows:
                yield rows

    def entries(self) -> list[LedgerEntry]:
        """Return all effects, in order."""
        with self.open() as rows:
            found = rows.execute("SELECT * FROM effect ORDER BY id").fetchall()
        return [_entry(row) for row in found]

    def find(self, rows: sqlite3.Connection, operation: str, key: str) -> LedgerEntry | None:
        """Return the last effect of the operation under the key."""
        found = rows.execute(
            "SELECT * FROM effect WHERE operation = ? AND key = ? ORDER BY id DESC", [operation, key]
        ).fetchone()
        return _entry(found) if found else None

    def add(
        self, rows: sqlite3.Connection, operation: str, key: str, request: str, state: str, *, repeats: bool
    ) -> Mapping[str, Any]:
        """Add an effect and return the provider's reply."""
        number = rows.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM effect").fetchone()[0]
        reply = {"id": f"{operation}-{number}"}
        values = [number, operation, key, request, json.dumps(reply), state, repeats]
        rows.execute("INSERT INTO effect VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return reply

    def reverse(self, rows: sqlite3.Connection, effect: LedgerEntry, key: str, run: str) -> str:
        """Reverse an effect and check the order.

        Return "" if the order is right. Otherwise return the operation of an earlier effect of the same run that was
        reversed before this one.
        """
        again = rows.execute("SELECT 1 FROM reversal WHERE effect = ?", [effect.id]).fetchone()
        overtaken = rows.execute(
            "SELECT operation FROM effect JOIN reversal ON reversal.effect = effect.id"
            " WHERE reversal.run = ? AND effect.id < ?",
            [run, effect.id],
        ).fetchone()
        rows.execute("UPDATE effect SET state = ? WHERE id = ? AND state = ?", [REVERSED, effect.id, ACTIVE])
        rows.execute("INSERT INTO reversal (effect, key, run) VALUES (?, ?, ?)", [effect.id, key, run])
        return overtaken[0] if overtaken and not again else ""

    def plan_fault(self, operation: str, mode: str, times: int) -> int:
        """Plan a fault for the next `times` calls of the operation, and return the number of the fault."""
        with self.open() as rows:
            values = [operation, mode, times]
            rows.execute("INSERT INTO fault (operation, mode, remaining) VALUES (?, ?, ?)", values)
            number: int = rows.execute("SELECT MAX(id) FROM fault").fetchone()[0]
        return number

    def next_fault(self, operation: str) -> tuple[int, str]:
        """Consume one call of the oldest planned fault of the operation. Return its number and mode, or 0 and ""."""
        with self.open() as rows:
            found: tuple[int, str] | None = rows.execute(
                "SELECT id, mode FROM fault WHERE operation = ? AND remaining > 0 ORDER BY id", [operation]
            ).fetchone()
            if found:
                rows.execute("UPDATE fault SET remaining = remaining - 1 WHERE id = ?", [found[0]])
        return found or (0, "")

    def add_violation(self, sentence: str) -> None:
        """Store a violation."""
        with self.open() as rows:
            rows.execute("INSERT INTO violation VALUES (?)", [sentence])

    def violations(self) -> list[str]:
        """Return all violations, in order."""
        with self.open() as rows:
            return [sentence for (sentence,) in rows.execute("SELECT sentence FROM violation ORDER BY rowid")]


def _entry(row: tuple[int, str, str, str, str, str, int]) -> LedgerEntry:
    number, operation, key, request, reply, state, repeats = row
    return LedgerEntry(number, operation, key, json.loads(request), json.loads(reply), state, bool(repeats))
