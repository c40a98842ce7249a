"""A strict fake provider: it rejects doubled effects, calls without their key and reversals in the wrong order."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sagas.definition.context import uuid_of
from sagas.definition.exceptions import StepFailed
from sagas.models import SagaExecution
from sagas.storage import database

from .crash_points import CRASHED
from .ledger import ACTIVE, CANCELLED, REVERSED, Ledger, LedgerEntry
from .providers import Call, CallListener, Effect

SAGA_KEY = re.compile(r"(?P<run>.+:\d+):(?P<step>[a-z][a-z0-9_]*)(?P<compensation>:undo(:\d+)?)?")
SAGA_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")  # version 5
LONGEST_HANG = 3600.0
NAP = 0.02


class InvalidCall(AssertionError):
    """A step called the fake provider in a way that no saga may."""


class FakeProvider:
    """A provider for tests. It keeps its effects in a file, which survives a killed process.

    Steps call `do` and `reverse` with their idempotency keys. InvalidCall is raised for a key that belongs to no step,
    a second request under the same key, a reversal out of order, and any call inside an open transaction. A saga
    takes the exception for a failed attempt, so the sentences are also kept in `violations`.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._ledger = Ledger(Path(path or Path(tempfile.mkdtemp(prefix="fake-provider-")) / "ledger.sqlite3"))
        self._errors: dict[int, BaseException] = {}
        self._listeners: list[CallListener] = []

    def do(self, operation: str, key: Any, *, repeats: bool = False, **request: Any) -> dict[str, Any]:
        """Carry out the operation and return the reply, which holds its `id`.

        The same key again returns the same reply without a second effect. With `repeats`, as for mails and messages,
        each call has its effect.
        """
        fault = self._fault_before(operation, str(key))
        reply = self._carry_out(operation, str(key), request, repeats=repeats)
        self._fault_after(operation, str(key), fault)
        return dict(reply)

    def reverse(self, operation: str, action_key: Any, *, key: Any) -> dict[str, Any] | None:
        """Reverse what `do` did under `action_key`; return its reply, or None if there was no effect.

        Later calls of `do` under that key are refused. Reversing twice is allowed. In faults, the reversal is the
        operation "<name>.reverse".
        """
        fault = self._fault_before(f"{operation}.reverse", str(key))
        reply = self._reverse(operation, str(action_key), str(key))
        self._fault_after(f"{operation}.reverse", str(key), fault)
        return dict(reply) if reply else None

    def find(self, operation: str, key: Any) -> dict[str, Any] | None:
        """Return the reply of the active effect under the key, or None. A step's `verify` calls this."""
        active = [entry for entry in self.effects_of(operation) if entry.key == str(key) and entry.state == ACTIVE]
        return dict(active[-1].reply) if active else None

    def refuse(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Refuse the next calls for good, with StepFailed or `error`."""
        self._plan_fault(operation, "refuse", times, error or StepFailed(f"{operation} is refused"))

    def fail(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Be unreachable for the next calls, with ConnectionRefusedError or `error`: nothing happens."""
        self._plan_fault(operation, "fail", times, error or ConnectionRefusedError(f"{operation} is unreachable"))

    def lose_reply(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Carry out the next calls and lose their replies, with ConnectionResetError or `error`."""
        self._plan_fault(operation, "lose", times, error or ConnectionResetError(f"the reply to {operation} was lost"))

    def hang(self, operation: str, *, times: int = 1) -> None:
        """Carry out the next calls and never reply: the step's timeout ends them."""
        self._plan_fault(operation, "hang", times)

    def kill(self, operation: str, *, times: int = 1, after_effect: bool = False) -> None:
        """Kill the calling process, which must be a forked child, before or after the effect."""
        self._plan_fault(operation, "kill after" if after_effect else "kill", times)

    @property
    def violations(self) -> list[str]:
        """What steps did that no saga may do, one sentence each."""
        return self._ledger.violations()

    def effects_of(self, operation: str) -> list[LedgerEntry]:
        """Return every effect of the operation, in order."""
        return [entry for entry in self._ledger.entries() if entry.operation == operation]

    def watch(self, listener: CallListener) -> None:
        """Call `listener` before and after the effect of each later call in this process."""
        self._listeners.append(listener)

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return the effects of the execution's current run, by step; a step that never called has none due."""
        entries = self._ledger.entries()
        known = {match["step"] for entry in entries if (match := SAGA_KEY.fullmatch(entry.key))}
        known |= {name for name in execution.plan if _entries_of(execution, name, entries)}
        return {name: _effect(execution, name, entries, due=name in known) for name in execution.plan}

    def _carry_out(self, operation: str, key: str, request: Mapping[str, Any], *, repeats: bool) -> Mapping[str, Any]:
        text = json.dumps(request, sort_keys=True, default=str)
        with self._ledger.open() as rows:
            earlier = self._ledger.find(rows, operation, key)
            if earlier is None or repeats:
                return self._ledger.add(rows, operation, key, text, ACTIVE, repeats=repeats)
        if earlier.state == CANCELLED:
            raise StepFailed(f"{operation} was reversed before it arrived")
        if earlier.request != json.loads(text):
            self._reject(f"{operation} was called twice with the key {key!r} and with different requests")
        if earlier.state == REVERSED:
            self._reject(f"{operation} was called again with the key {key!r} after its reversal")
        return earlier.reply

    def _reverse(self, operation: str, action_key: str, key: str) -> Mapping[str, Any] | None:
        match = SAGA_KEY.fullmatch(action_key)
        if (match and match["compensation"]) or not _is_saga_key(action_key):
            self._reject(f"{operation}.reverse names the key {action_key!r}, which is not an action's")
        with self._ledger.open() as rows:
            found = self._ledger.find(rows, operation, action_key)
            if found is None:
                self._ledger.add(rows, operation, action_key, "{}", CANCELLED, repeats=False)
                return None
            overtaken = self._ledger.reverse(rows, found, key, match["run"] if match else action_key)
        if overtaken:
            self._reject(f"{operation} was reversed after {overtaken}, which had happened before it")
        return None if found.state == CANCELLED else found.reply

    def _plan_fault(self, operation: str, mode: str, times: int, error: BaseException | None = None) -> None:
        number = self._ledger.plan_fault(operation, mode, times)
        if error is not None:
            self._errors[number] = error

    def _fault_before(self, operation: str, key: str) -> tuple[int, str]:
        self._notify("before", operation, key)
        if database.in_transaction():
            self._reject(f"{operation} was called inside an open transaction, whose rollback cannot undo it")
        if not _is_saga_key(key):
            self._reject(f"{operation} was called with the key {key!r}, which is no step's idempotency key")
        number, mode = self._ledger.next_fault(operation)
        if mode in ("refuse", "fail"):
            raise self._errors[number]
        if mode == "kill":
            os._exit(CRASHED)
        return number, mode

    def _fault_after(self, operation: str, key: str, fault: tuple[int, str]) -> None:
        number, mode = fault
        self._notify("after", operation, key)
        if mode == "lose":
            raise self._errors[number]
        if mode == "kill after":
            os._exit(CRASHED)
        end = time.monotonic() + LONGEST_HANG
        while mode == "hang" and time.monotonic() < end:
            time.sleep(NAP)

    def _notify(self, moment: str, operation: str, key: str) -> None:
        for listener in tuple(self._listeners):
            listener(Call(moment, operation, key))

    def _reject(self, sentence: str) -> NoReturn:
        self._ledger.add_violation(sentence)
        raise InvalidCall(sentence)


def _is_saga_key(key: str) -> bool:
    """Return whether it can be a step's idempotency key, or the UUID of one."""
    return bool(SAGA_KEY.fullmatch(key) or SAGA_UUID.fullmatch(key))


def _effect(execution: SagaExecution, step: str, entries: Sequence[LedgerEntry], *, due: bool) -> Effect:
    """Summarize a step's entries; with several operations, the most frequent one counts."""
    done = [entry for entry in _entries_of(execution, step, entries) if entry.state != CANCELLED]
    operations = [entry.operation for entry in done]
    times = max((operations.count(operation) for operation in operations), default=0)
    if any(entry.repeats for entry in done):
        key = f"{execution.saga_id}:{execution.run}:{step}:undo"
        compensated = sum(entry.key.startswith(key) or entry.key == str(uuid_of(key)) for entry in entries)
        return Effect(times, compensated, remains=not compensated, repeats=True, due=due)
    remains = any(entry.state == ACTIVE for entry in done)
    return Effect(times, int(any(entry.state == REVERSED for entry in done)), remains=remains, due=due)


def _entries_of(execution: SagaExecution, step: str, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    key = f"{execution.saga_id}:{execution.run}:{step}"
    return [entry for entry in entries if entry.key in (key, str(uuid_of(key)))]
