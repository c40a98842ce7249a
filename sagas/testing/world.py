"""A provider for tests that objects: to doubled effects, calls without their key, undos that come out of order."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sagas.definition.exceptions import StepFailed
from sagas.definition.saga import uuid_of
from sagas.models import SagaExecution
from sagas.storage import database

from .calls import Call, Tell
from .crash_points import DIED
from .invariants import Effect
from .ledger import DEAD, STANDING, UNDONE, Happened, Ledger

OUR_KEY = re.compile(r"(?P<run>.+:\d+):(?P<step>[a-z][a-z0-9_]*)(?P<undo>:undo(:\d+)?)?")
OUR_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")  # version 5
LONGEST_HANG = 3600.0
NAP = 0.02


class WorldObjects(AssertionError):
    """Somebody did to the world what no saga may do."""


class World:
    """The outside world of a test, kept in a file that outlives a process which dies.

    Let what your steps call end in `do` and `undo`. Each effect goes by the key it came with. A key that is no step's,
    another request under a key that was used, an undo out of order, and any call while a transaction is open raise
    WorldObjects; since a saga takes that for a failed attempt, they are kept in `objections` too.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._ledger = Ledger(Path(path or Path(tempfile.mkdtemp(prefix="world-")) / "world.sqlite3"))
        self._errors: dict[int, BaseException] = {}
        self._watchers: list[Tell] = []

    def do(self, operation: str, key: Any, *, repeats: bool = False, **request: Any) -> dict[str, Any]:
        """Have the effect and give the provider's reply, which holds its `id`.

        The same key again gives the same reply, and no second effect, as with a provider that deduplicates. What
        `repeats`, as mails and messages do, happens once more for each call.
        """
        fault = self._strike_before(operation, str(key))
        reply = self._have(operation, str(key), request, repeats=repeats)
        self._strike_after(operation, str(key), fault)
        return dict(reply)

    def undo(self, operation: str, action_key: Any, *, key: Any) -> dict[str, Any] | None:
        """Take back what `do` did under `action_key`; the effect's reply, or None if there was none.

        From then on that key is dead: a `do` that comes late is refused. To undo twice is no error.
        """
        fault = self._strike_before(f"{operation}.undo", str(key))
        reply = self._take_back(operation, str(action_key), str(key))
        self._strike_after(f"{operation}.undo", str(key), fault)
        return dict(reply) if reply else None

    def find(self, operation: str, key: Any) -> dict[str, Any] | None:
        """What a `verify` asks for: the reply of the effect that stands under this key, or None."""
        standing = [one for one in self.effects_of(operation) if one.key == str(key) and one.state == STANDING]
        return dict(standing[-1].reply) if standing else None

    def refuse(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Refuse the next calls for good, by StepFailed or your own error. An undo is the operation "<name>.undo"."""
        self._order(operation, "refuse", times, error or StepFailed(f"{operation} is refused"))

    def fail(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Be out of reach, by ConnectionRefusedError or your own error: nothing happens."""
        self._order(operation, "fail", times, error or ConnectionRefusedError(f"{operation} is out of reach"))

    def lose_the_reply(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Have the effect and lose the reply, by ConnectionResetError or your own error."""
        self._order(operation, "lose", times, error or ConnectionResetError(f"the reply to {operation} was lost"))

    def hang(self, operation: str, *, times: int = 1) -> None:
        """Have the effect and never reply: the step's time-out ends it."""
        self._order(operation, "hang", times)

    def kill(self, operation: str, *, times: int = 1, after_effect: bool = False) -> None:
        """Kill the process that calls, which must be a forked child, before the effect or after it."""
        self._order(operation, "kill after" if after_effect else "kill", times)

    @property
    def objections(self) -> list[str]:
        """What was done to the world that no saga may do, a sentence each."""
        return self._ledger.objections()

    def effects_of(self, operation: str) -> list[Happened]:
        """Every effect of this operation, in order."""
        return [one for one in self._ledger.effects() if one.operation == operation]

    def watch(self, tell: Tell) -> None:
        """From now on, in this process, tell of each call, before and after its effect."""
        self._watchers.append(tell)

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """What the ledger says of each step of the current run; a step that has never called had nothing due."""
        happened = self._ledger.effects()
        known = {match["step"] for one in happened if (match := OUR_KEY.fullmatch(one.key))}
        known |= {name for name in execution.plan if _of_action(execution, name, happened)}
        return {name: _effect(execution, name, happened, due=name in known) for name in execution.plan}

    def _have(self, operation: str, key: str, request: Mapping[str, Any], *, repeats: bool) -> Mapping[str, Any]:
        text = json.dumps(request, sort_keys=True, default=str)
        with self._ledger.open() as rows:
            former = self._ledger.find(rows, operation, key)
            if former is None or repeats:
                return self._ledger.add(rows, operation, key, text, STANDING, repeats=repeats)
        if former.state == DEAD:
            raise StepFailed(f"{operation} was cancelled before it came")
        if former.request != json.loads(text):
            self._object(f"{operation} came twice with the key {key!r}, and with two different requests")
        if former.state == UNDONE:
            self._object(f"{operation} came again with the key {key!r} after it had been undone")
        return former.reply

    def _take_back(self, operation: str, action_key: str, key: str) -> Mapping[str, Any] | None:
        match = OUR_KEY.fullmatch(action_key)
        if (match and match["undo"]) or not _is_ours(action_key):
            self._object(f"{operation}.undo names the key {action_key!r}, which is no action's")
        with self._ledger.open() as rows:
            found = self._ledger.find(rows, operation, action_key)
            if found is None:
                self._ledger.add(rows, operation, action_key, "{}", DEAD, repeats=False)
                return None
            overtaken = self._ledger.undo(rows, found, key, match["run"] if match else action_key)
        if overtaken:
            self._object(f"{operation} was undone after {overtaken}, which had come before it")
        return None if found.state == DEAD else found.reply

    def _order(self, operation: str, mode: str, times: int, error: BaseException | None = None) -> None:
        number = self._ledger.order_fault(operation, mode, times)
        if error is not None:
            self._errors[number] = error

    def _strike_before(self, operation: str, key: str) -> tuple[int, str]:
        self._tell("before", operation, key)
        if database.in_transaction():
            self._object(f"{operation} was called while a transaction was open, which cannot take it back")
        if not _is_ours(key):
            self._object(f"{operation} came with the key {key!r}, which is no step's idempotency key")
        number, mode = self._ledger.take_fault(operation)
        if mode in ("refuse", "fail"):
            raise self._errors[number]
        if mode == "kill":
            os._exit(DIED)
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
            tell(Call(moment, operation, key))

    def _object(self, sentence: str) -> NoReturn:
        self._ledger.object(sentence)
        raise WorldObjects(sentence)


def _is_ours(key: str) -> bool:
    """Whether it can be a step's key, or the UUID that stands for one."""
    return bool(OUR_KEY.fullmatch(key) or OUR_UUID.fullmatch(key))


def _effect(execution: SagaExecution, step: str, happened: Sequence[Happened], *, due: bool) -> Effect:
    """A step with several operations has taken effect as often as the one that happened most."""
    done = [one for one in _of_action(execution, step, happened) if one.state != DEAD]
    operations = [one.operation for one in done]
    times = max((operations.count(operation) for operation in operations), default=0)
    if any(one.repeats for one in done):
        undo_key = f"{execution.saga_id}:{execution.run}:{step}:undo"
        undone = sum(one.key.startswith(undo_key) or one.key == str(uuid_of(undo_key)) for one in happened)
        return Effect(times, undone, stands=not undone, repeats=True, due=due)
    stands = any(one.state == STANDING for one in done)
    return Effect(times, int(any(one.state == UNDONE for one in done)), stands=stands, due=due)


def _of_action(execution: SagaExecution, step: str, happened: Sequence[Happened]) -> list[Happened]:
    key = f"{execution.saga_id}:{execution.run}:{step}"
    return [one for one in happened if one.key in (key, str(uuid_of(key)))]
