"""The provider's ledger in an SQLite file: a strict fake that records an objection to each forbidden call.

Payments are created, then confirmed. Only the confirmation has an effect. A cancelled payment is never confirmed.
A refusal is not stored: if the same request is delivered again later, it may take effect.
Events, jobs and points are documents. The client chooses their ids. A deleted id cannot be used again.
Invoices and messages are letters. Each call sends one more letter. A letter is found by its idempotency key.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.limits import TIMEOUT

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS effects (
    id INTEGER PRIMARY KEY, port TEXT, name TEXT, key TEXT, saga TEXT, step TEXT, place INTEGER, state TEXT,
    undo_key TEXT, ready REAL, late INTEGER
);
CREATE INDEX IF NOT EXISTS effects_saga ON effects (saga);
CREATE INDEX IF NOT EXISTS effects_name ON effects (port, name);
CREATE INDEX IF NOT EXISTS effects_key ON effects (key);
CREATE TABLE IF NOT EXISTS objections (saga TEXT, sentence TEXT);
CREATE TABLE IF NOT EXISTS faults (kind TEXT PRIMARY KEY, ordered INTEGER, done INTEGER);
CREATE TABLE IF NOT EXISTS held (id INTEGER PRIMARY KEY, due REAL, kind TEXT, request TEXT);
"""
ADD = """
INSERT INTO effects (port, name, key, saga, step, place, state, ready, late) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Select effects of later steps: they must be compensated before an earlier step is.
LATER_EFFECTS = """
SELECT step FROM effects WHERE saga = ? AND place > ? AND state IN ('standing', 'confirmed') AND NOT late
AND port IN ('payments', 'calendar', 'jobs', 'invoices')
"""
JOB_TAKES = 0.8

Reply = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Request:
    """A call with its step, saga and idempotency key."""

    port: str
    operation: str
    key: str
    saga: str
    step: str
    place: int
    deadline: float
    id: Any = None
    in_doubt: bool = False
    refuse: bool = False

    @property
    def asks(self) -> str:
        """The port and the operation, such as "payments.create"."""
        return f"{self.port}.{self.operation}"


class Ledger:
    """A ledger in one file, with one connection and one transaction per request."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        # Autocommit mode: the transactions are explicit, and the lock serializes the threads.
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._file.row_factory = sqlite3.Row
        self._file.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def answer(self, request: Request) -> Reply:
        """Carry out the request if it is allowed; return the HTTP status and the reply."""
        with self._lock, self._file:
            self._file.execute("BEGIN IMMEDIATE")
            return OPERATIONS[request.asks](self, request)

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """Execute a statement and return its rows."""
        with self._lock:
            return self._file.execute(sql, parameters).fetchall()

    def count(self, kind: str, *, ordered: int = 0, done: int = 0) -> None:
        """Count a planned or actual fault."""
        self.execute(
            "INSERT INTO faults VALUES (?, ?, ?) ON CONFLICT (kind)"
            " DO UPDATE SET ordered = ordered + excluded.ordered, done = done + excluded.done",
            (kind, ordered, done),
        )

    def find(self, port: str, name: Any) -> Any:
        """Return the document with this name, or the payment with this key."""
        return self._one("SELECT * FROM effects WHERE port = ? AND name = ?", port, str(name))

    def get(self, port: str, number: Any) -> Any:
        """Return the row with this id."""
        return self._one("SELECT * FROM effects WHERE port = ? AND id = ?", port, number)

    def found(self, port: str, key: str) -> list[int]:
        """Return the ids of the letters with this key that were not taken back."""
        sql = "SELECT id FROM effects WHERE port = ? AND key = ? AND state = 'standing'"
        return [row["id"] for row in self._file.execute(sql, (port, key))]

    def add(self, request: Request, name: Any, state: str) -> int:
        """Add a row and return its id; record an objection if the step has an effect already."""
        if state == "standing":
            self.object_if_doubled(request)
        ready = time.time() + (JOB_TAKES if request.port == "jobs" else 0.0)
        row = (request.port, name, request.key, request.saga, request.step, request.place, state, ready, _late(request))
        return int(self._file.execute(ADD, row).lastrowid or 0)

    def move(self, row: Any, state: str, undo_key: str | None = None) -> None:
        """Set the state of a row."""
        self._file.execute("UPDATE effects SET state = ?, undo_key = ? WHERE id = ?", (state, undo_key, row["id"]))

    def compensate(self, request: Request, row: Any, state: str) -> Reply:
        """Compensate an effect; record an objection if the key differs from the first one or the order is wrong."""
        if row["state"] == state:
            if row["undo_key"] != request.key:
                self.object_to(request, f"it was compensated under {row['undo_key']} already")
            return 200, {}
        later = self._one(LATER_EFFECTS, request.saga, row["place"])
        if later:
            self.object_to(request, f"out of order: {later['step']} is not compensated yet")
        self.move(row, state, request.key)
        return 200, {}

    def object_if_doubled(self, request: Request) -> None:
        """Record an objection if the step has an effect already; messages may be repeated."""
        sql = "SELECT id FROM effects WHERE saga = ? AND step = ? AND port = ? AND state IN ('standing', 'confirmed')"
        if request.port != "messages" and self._one(sql, request.saga, request.step, request.port):
            self.object_to(request, "the step has an effect already")

    def object_to(self, request: Request, reason: str) -> Reply:
        """Record an objection; promises.py reports it as a violation."""
        sentence = f"{request.asks} for {request.step} under {request.key}: {reason}"
        self._file.execute("INSERT INTO objections VALUES (?, ?)", (request.saga, sentence))
        return 409, {"error": sentence}

    def _one(self, sql: str, *parameters: Any) -> Any:
        return self._file.execute(sql, parameters).fetchone()


def _create(ledger: Ledger, request: Request) -> Reply:
    row = ledger.find("payments", request.key)
    return 200, {"id": row["id"] if row else ledger.add(request, request.key, "created")}


def _confirm(ledger: Ledger, request: Request) -> Reply:
    row = ledger.get("payments", request.id)
    if row is None:
        return ledger.object_to(request, "unknown payment")
    if row["state"] == "created":
        if request.refuse:
            return 422, {"error": "declined"}
        ledger.object_if_doubled(request)
        ledger.move(row, "confirmed")
    refused = row["state"] in ("voided", "refunded")
    return (409, {"error": f"it is {row['state']}"}) if refused else (200, {})


def _cancel(ledger: Ledger, request: Request) -> Reply:
    row = ledger.get("payments", request.id)
    if row is None:
        return ledger.object_to(request, "unknown payment")
    if row["state"] == "created":
        ledger.move(row, "voided")
    return 200, {"charged": row["state"] in ("confirmed", "refunded")}


def _refund(ledger: Ledger, request: Request) -> Reply:
    row = ledger.get("payments", request.id)
    if row is None or row["state"] not in ("confirmed", "refunded"):
        return ledger.object_to(request, "unknown charge")
    return ledger.compensate(request, row, "refunded")


def _put(ledger: Ledger, request: Request) -> Reply:
    row = ledger.find(request.port, request.id)
    if row is None and request.refuse:
        if request.port in NEVER_COMPENSATED:
            ledger.add(request, request.id, "refused")
        return 422, {"error": "refused"}
    if row is None:
        ledger.add(request, request.id, "standing")
        row = ledger.find(request.port, request.id)
    if row["state"] != "standing":
        return 422, {"error": f"it is {row['state']}"}
    return 200, {"ready": time.time() >= row["ready"]}


def _delete(ledger: Ledger, request: Request) -> Reply:
    row = ledger.find(request.port, request.id)
    if row is None and not request.in_doubt:
        return ledger.object_to(request, "unknown document")
    if row is None:
        ledger.add(request, request.id, "deleted")
    elif row["state"] in ("standing", "removed"):
        return ledger.compensate(request, row, "removed")
    return 200, {}


def _post(ledger: Ledger, request: Request) -> Reply:
    if request.refuse:
        return 422, {"error": "refused"}
    return 200, {"id": ledger.add(request, None, "standing")}


def _find(ledger: Ledger, request: Request) -> Reply:
    return 200, {"found": ledger.found(request.port, request.id)}


def _take_back(ledger: Ledger, request: Request) -> Reply:
    row = ledger.get("invoices", request.id)
    if row is None:
        return ledger.object_to(request, "unknown invoice")
    return ledger.compensate(request, row, "removed")


def _late(request: Request) -> bool:
    """Return whether a letter came after its caller's deadline (the documented "residual window" of letters)."""
    return request.asks in NEVER_TWICE and time.time() > request.deadline + TIMEOUT


DOCUMENTS = {
    f"{port}.{name}": do for port in ("calendar", "jobs", "points") for name, do in (("put", _put), ("delete", _delete))
}
OPERATIONS: dict[str, Callable[[Ledger, Request], Reply]] = DOCUMENTS | {
    "payments.create": _create,
    "payments.confirm": _confirm,
    "payments.cancel": _cancel,
    "payments.refund": _refund,
    "invoices.post": _post,
    "invoices.find": _find,
    "invoices.take_back": _take_back,
    "messages.post": _post,
    "messages.find": _find,
}
# The provider stores refusals of these, because no compensation deletes their ids after a refusal.
NEVER_COMPENSATED = {"points"}
REFUSABLE = {"payments.confirm", "calendar.put", "jobs.put", "points.put", "invoices.post", "messages.post"}
# A second delivery of these would send a second letter, although the client did nothing wrong.
NEVER_TWICE = {"invoices.post", "messages.post"}
