"""A provider for tests that objects: to doubled effects, calls without their key, undos that come out of order."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sagas import database
from sagas.definition import uuid_of
from sagas.exceptions import StepFailed
from sagas.models import SagaExecution

from .calls import Call, Tell
from .crash_points import DIED
from .invariants import Effect

OUR_KEY = re.compile(r"(?P<run>.+:\d+):(?P<step>[a-z][a-z0-9_]*)(?P<undo>:undo(:\d+)?)?")
LONGEST_HANG = 3600.0
NAP = 0.02

TABLES = """
CREATE TABLE IF NOT EXISTS effect (
    id INTEGER PRIMARY KEY, operation TEXT, key TEXT, request TEXT, reply TEXT, state TEXT, repeats INTEGER, run TEXT
);
CREATE TABLE IF NOT EXISTS undo (id INTEGER PRIMARY KEY, effect INTEGER, key TEXT, run TEXT);
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY, operation TEXT, mode TEXT, remaining INTEGER);
CREATE TABLE IF NOT EXISTS objection (sentence TEXT);
"""


class WorldObjects(AssertionError):
    """Somebody did to the world what no saga may do."""


@dataclass(frozen=True)
class Happened:
    """One effect as the world has it; its state is "standing", "undone", or "dead": undone before it could happen."""

    id: int
    operation: str
    key: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]
    state: str
    repeats: bool
    run: str


class World:
    """The outside world of a test, kept in a file that outlives a process which dies.

    Let what your steps call end in `do` and `undo`. Each effect goes by the key it came with; a key that is no step's,
    a second effect where one stands, an undo in the wrong order and a call while a transaction is open make it raise
    WorldObjects, and are kept in `objections`, for the saga takes an exception for a failed attempt.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._path = Path(path or Path(tempfile.mkdtemp(prefix="world-")) / "world.sqlite3")
        self._errors: dict[int, BaseException] = {}
        self._watchers: list[Tell] = []
        with self._open() as ledger:
            ledger.executescript(TABLES)

    def do(self, operation: str, key: str, *, repeats: bool = False, **request: Any) -> dict[str, Any]:
        """Have the effect and give the provider's reply, which holds its `id`.

        The same key again gives the same reply, and no second effect, as with a provider that deduplicates. What
        `repeats`, as mails and messages do, happens once more for each call.
        """
        self._check_call(operation, key)
        fault = self._strike_before(operation, key)
        reply = self._have(operation, key, request, repeats=repeats)
        self._strike_after(operation, key, fault)
        return reply

    def undo(self, operation: str, action_key: str, *, key: str) -> dict[str, Any] | None:
        """Take back what `do` did under `action_key`; the effect's reply, or None if there was none.

        Then the key is dead: a `do` that comes late is refused. Undoing twice is no error, whatever the key.
        """
        self._check_call(f"{operation}.undo", key)
        fault = self._strike_before(f"{operation}.undo", key)
        reply = self._take_back(operation, action_key, key)
        self._strike_after(f"{operation}.undo", key, fault)
        return reply

    def find(self, operation: str, key: str) -> dict[str, Any] | None:
        """What a `verify` would ask: the reply of the effect that stands under this key, or None."""
        found = [one for one in self.effects_of(operation) if one.key == str(key) and one.state == "standing"]
        return dict(found[-1].reply) if found else None

    def refuse(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Refuse the next calls for good, by StepFailed or your own error. An undo is the operation "<name>.undo"."""
        self._order(operation, "refuse", times, error or StepFailed(f"{operation} is refused"))

    def fail(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Be out of reach: ConnectionRefusedError, or your own error; nothing happens."""
        self._order(operation, "fail", times, error or ConnectionRefusedError(f"{operation} is out of reach"))

    def lose_the_reply(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Have the effect and lose the reply: ConnectionResetError, or your own error."""
        self._order(operation, "lose", times, error or ConnectionResetError(f"the reply to {operation} was lost"))

    def hang(self, operation: str, *, times: int = 1) -> None:
        """Have the effect and never reply: the step's time-out ends it."""
        self._order(operation, "hang", times, None)

    def kill(self, operation: str, *, times: int = 1, after_effect: bool = False) -> None:
        """Kill the calling process, which must be a forked child; the effect is there or not."""
        self._order(operation, "kill after" if after_effect else "kill", times, None)

    @property
    def objections(self) -> list[str]:
        """What was done to the world that no saga may do, a sentence each."""
        with self._open() as ledger:
            return [sentence for (sentence,) in ledger.execute("SELECT sentence FROM objection ORDER BY rowid")]

    def effects_of(self, operation: str) -> list[Happened]:
        """Every effect of this operation, in order."""
        return [one for one in self._all() if one.operation == operation]

    def watch(self, tell: Tell) -> None:
        """From now on, in this process, tell of each call, before and after its effect."""
        self._watchers.append(tell)

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """What the ledger says of each step of the current run; a step that has never called had nothing due."""
        everything = self._all()
        known = {_step_of(one.key, execution) for one in everything} | {
            match["step"] for one in everything if (match := OUR_KEY.fullmatch(one.key))
        }
        return {name: _effect(execution, name, everything, due=name in known) for name in execution.plan}

    def _check_call(self, operation: str, key: str) -> None:
        if database.in_transaction():
            self._object(f"{operation} was called while a transaction was open, which cannot take it back")
        if not _is_ours(str(key)):
            self._object(f"{operation} came with the key {str(key)!r}, which is no step's idempotency key")

    def _have(self, operation: str, key: str, request: Mapping[str, Any], *, repeats: bool) -> dict[str, Any]:
        text = json.dumps(request, sort_keys=True, default=str)
        with self._open() as ledger:
            row = ledger.execute(
                "SELECT state, request, reply FROM effect WHERE operation = ? AND key = ?", [operation, str(key)]
            ).fetchone()
            if row is None or repeats:
                return self._insert(ledger, operation, str(key), text, "standing", repeats=repeats)
        state, former, reply = row
        if state == "dead":
            raise StepFailed(f"{operation} was cancelled before it came")
        if former != text:
            self._object(f"{operation} came twice with the key {key!r}, and with two different requests")
        if state == "undone":
            self._object(f"{operation} came again with the key {key!r} after it had been undone")
        replayed: dict[str, Any] = json.loads(reply)
        return replayed

    def _insert(
        self, ledger: sqlite3.Connection, operation: str, key: str, request: str, state: str, *, repeats: bool
    ) -> dict[str, Any]:
        number = ledger.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM effect").fetchone()[0]
        reply = {"id": f"{operation}-{number}"}
        values = [number, operation, key, request, json.dumps(reply), state, repeats, _run_of(key)]
        ledger.execute("INSERT INTO effect VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return reply

    def _take_back(self, operation: str, action_key: str, key: str) -> dict[str, Any] | None:
        if not _is_ours(str(action_key)) or str(action_key) == str(key):
            self._object(f"{operation}.undo names the key {str(action_key)!r}, which is no action's")
        with self._open() as ledger:
            found = ledger.execute(
                "SELECT id, state, reply FROM effect WHERE operation = ? AND key = ?", [operation, str(action_key)]
            ).fetchone()
            if found is None:
                self._insert(ledger, operation, str(action_key), "{}", "dead", repeats=False)
                return None
            late = self._overtaken(ledger, found[0], _run_of(str(action_key)))
            ledger.execute("UPDATE effect SET state = 'undone' WHERE id = ? AND state = 'standing'", [found[0]])
            ledger.execute(
                "INSERT INTO undo (effect, key, run) VALUES (?, ?, ?)", [found[0], str(key), _run_of(str(action_key))]
            )
        if late:
            self._object(f"{operation} was undone after {late}, which had come before it")
        reply: dict[str, Any] = json.loads(found[2])
        return None if found[1] == "dead" else reply

    def _overtaken(self, ledger: sqlite3.Connection, effect: int, run: str) -> str:
        """An earlier effect of the run whose undo began already, although this one's begins only now."""
        again = ledger.execute("SELECT 1 FROM undo WHERE effect = ?", [effect]).fetchone()
        earlier = ledger.execute(
            "SELECT operation FROM effect JOIN undo ON undo.effect = effect.id WHERE undo.run = ? AND effect.id < ?",
            [run, effect],
        ).fetchone()
        return earlier[0] if earlier and not again else ""

    def _all(self) -> list[Happened]:
        with self._open() as ledger:
            rows = ledger.execute("SELECT * FROM effect ORDER BY id").fetchall()
        return [
            Happened(number, operation, key, json.loads(request), json.loads(reply), state, bool(repeats), run)
            for number, operation, key, request, reply, state, repeats, run in rows
        ]

    def _order(self, operation: str, mode: str, times: int, error: BaseException | None) -> None:
        with self._open() as ledger:
            inserted = ledger.execute(
                "INSERT INTO fault (operation, mode, remaining) VALUES (?, ?, ?)", [operation, mode, times]
            )
            if error is not None and inserted.lastrowid is not None:
                self._errors[inserted.lastrowid] = error

    def _take_fault(self, operation: str) -> tuple[int, str]:
        with self._open() as ledger:
            found = ledger.execute(
                "SELECT id, mode FROM fault WHERE operation = ? AND remaining > 0 ORDER BY id", [operation]
            ).fetchone()
            if found is None:
                return 0, ""
            ledger.execute("UPDATE fault SET remaining = remaining - 1 WHERE id = ?", [found[0]])
            return found[0], found[1]

    def _strike_before(self, operation: str, key: str) -> tuple[int, str]:
        number, mode = self._take_fault(operation)
        if mode in ("refuse", "fail"):
            raise self._errors[number]
        if mode == "kill":
            os._exit(DIED)
        self._tell("before", operation, key)
        return number, mode

    def _strike_after(self, operation: str, key: str, fault: tuple[int, str]) -> None:
        number, mode = fault
        self._tell("after", operation, key)
        if mode == "lose":
            raise self._errors[number]
        if mode == "kill after":
            os._exit(DIED)
        end = time.monotonic() + LONGEST_HANG
        while mode == "hang" and time.monotonic() < end:
            time.sleep(NAP)

    def _tell(self, moment: str, operation: str, key: str) -> None:
        for tell in tuple(self._watchers):
            tell(Call(moment, operation, str(key)))

    def _object(self, sentence: str) -> None:
        with self._open() as ledger:
            ledger.execute("INSERT INTO objection VALUES (?)", [sentence])
        raise WorldObjects(sentence)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time: it outlives no fork, and no rollback of ours takes back what it holds."""
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level="IMMEDIATE")) as ledger, ledger:
            yield ledger


def _effect(execution: SagaExecution, step: str, everything: list[Happened], *, due: bool) -> Effect:
    under = partial(_belongs, execution, step)
    done = [one for one in everything if under(one.key, undo=False) and one.state != "dead"]
    repeats = any(one.repeats for one in done)
    apologies = [one for one in everything if under(one.key, undo=True) and one.repeats]
    undone = [one for one in done if one.state == "undone"]
    by_operation = [one.operation for one in done]
    return Effect(
        done=max((by_operation.count(operation) for operation in by_operation), default=0),
        undone=len(apologies) if repeats else min(len(undone), 1),
        stands=bool(done) and not apologies if repeats else len(undone) < len(done),
        repeats=repeats,
        due=due,
    )


def _belongs(execution: SagaExecution, step: str, key: str, *, undo: bool) -> bool:
    own = f"{execution.saga_id}:{execution.run}:{step}"
    if undo:
        return key.startswith(f"{own}:undo") or key == str(uuid_of(f"{own}:undo"))
    return key in {own, str(uuid_of(own))}


def _step_of(key: str, execution: SagaExecution) -> str:
    return next((name for name in execution.plan if _belongs(execution, name, key, undo=False)), "")


def _is_ours(key: str) -> bool:
    """Whether a step's key, or the UUID made of one, could look like this; a UUID must be one of version 5."""
    return bool(OUR_KEY.fullmatch(key)) or bool(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f-]{17}", key)
    )


def _run_of(key: str) -> str:
    match = OUR_KEY.fullmatch(key)
    return match["run"] if match else key
