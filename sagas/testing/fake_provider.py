"""A strict fake provider. It rejects doubled effects, calls without a step's key, and reversals in the wrong order."""

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
    """A step called the fake provider in a way that is wrong in every saga."""


class FakeProvider:
    """A provider for tests. It stores its effects in a file, so that they survive a killed process.

    Steps call `do` and `reverse` with their idempotency keys. The provider raises InvalidCall for a key that belongs to
    no step, for a different request under a used key, for a reversal in the wrong order, and for a call inside an open
    transaction. A saga treats this exception as a failed attempt, so `violations` also keeps the messages.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._ledger = Ledger(Path(path or Path(tempfile.mkdtemp(prefix="fake-provider-")) / "ledger.sqlite3"))
        self._errors: dict[int, BaseException] = {}
        self._listeners: list[CallListener] = []

    def do(self, operation: str, key: Any, *, repeats: bool = False, **request: Any) -> dict[str, Any]:
        """Carry out the operation and return the reply. The reply contains the `id` of the effect.

        A second call with the same key returns the same reply and has no second effect. With `repeats`, every call has
        an effect, as with e-mails and messages.
        """
        fault = self._fault_before(operation, str(key))
        reply = self._carry_out(operation, str(key), request, repeats=repeats)
        self._fault_after(operation, str(key), fault)
        return dict(reply)

    def reverse(self, operation: str, action_key: Any, *, key: Any) -> dict[str, Any] | None:
        """Reverse the effect of `do` under `action_key`. Return the reply of `do`, or None if there was no effect.

        Later calls of `do` under that key are refused. A second reversal is allowed. To plan a fault for a reversal,
        use the operation name "<name>.reverse".
        """
        fault = self._fault_before(f"{operation}.reverse", str(key))
        reply = self._reverse(operation, str(action_key), str(key))
        self._fault_after(f"{operation}.reverse", str(key), fault)
        return dict(reply) if reply else None

    def find(self, operation: str, key: Any) -> dict[str, Any] | None:
        """Return the reply of the active effect under the key, or None. Call this in the `verify` of a step."""
        active = [entry for entry in self.effects_of(operation) if entry.key == str(key) and entry.state == ACTIVE]
        return dict(active[-1].reply) if active else None

    def refuse(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Make the next `times` calls raise StepFailed or `error`, without an effect."""
        self._plan_fault(operation, "refuse", times, error or StepFailed(f"{operation} is refused"))

    def fail(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Make the next `times` calls raise ConnectionRefusedError or `error`, without an effect."""
        self._plan_fault(operation, "fail", times, error or ConnectionRefusedError(f"{operation} is unreachable"))

    def lose_reply(self, operation: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Make the next `times` calls take effect and then raise ConnectionResetError or `error`."""
        self._plan_fault(operation, "lose", times, error or ConnectionResetError(f"the reply to {operation} was lost"))

    def hang(self, operation: str, *, times: int = 1) -> None:
        """Make the next `times` calls take effect and then hang until the step's timeout."""
        self._plan_fault(operation, "hang", times)

    def kill(self, operation: str, *, times: int = 1, after_effect: bool = False) -> None:
        """Make the next `times` calls kill their process, before or after the effect. It must be a forked child."""
        self._plan_fault(operation, "kill after" if after_effect else "kill", times)

    @property
    def violations(self) -> list[str]:
        """The message of each InvalidCall so far."""
        return self._ledger.violations()

    def effects_of(self, operation: str) -> list[LedgerEntry]:
        """Return every effect of the operation, in order."""
        return [entry for entry in self._ledger.entries() if entry.operation == operation]

    def watch(self, listener: CallListener) -> None:
        """Register `listener`. It is called before and after the effect of each later call in this process."""
        self._listeners.append(listener)

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return the effects of the execution's current run, by step name.

        `due` is False for the steps that made no call.
        """
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
    """Return whether the key looks like a step's idempotency key, or like the UUID of such a key."""
    return bool(SAGA_KEY.fullmatch(key) or SAGA_UUID.fullmatch(key))


def _effect(execution: SagaExecution, step: str, entries: Sequence[LedgerEntry], *, due: bool) -> Effect:
    """Summarize the ledger entries of a step. If they have several operations, count the most frequent one."""
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
