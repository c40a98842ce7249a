"""Looks over the shoulder of each step: what it called, under which key, and how it ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sagas.conf import get_settings
from sagas.definition.saga import Saga, SagaStep, StepCall, StepContext
from sagas.definition.states import Direction, Outcome
from sagas.engine.error_classification import classify
from sagas.storage import database

from .calls import Call

BEGUN, CALLED, RETURNED, RAISED = "begun", "called", "returned", "raised"


@dataclass(frozen=True)
class Note:
    """Something that happened in a call of a step's function.

    `what` is begun, called (a provider), returned or raised. `own_key` tells that a provider's call came with the
    step's idempotency key or one made of it, `taken_for_failed` that what was raised counts as "it did not happen".
    """

    saga_id: str
    step: str
    direction: str
    what: str
    moment: str = ""
    operation: str = ""
    key: str = ""
    own_key: bool = True
    in_transaction: bool = False
    error_type: str = ""
    taken_for_failed: bool = False

    @property
    def function(self) -> str:
        """How people call it: "action of charge"."""
        return f"{self.direction} of {self.step}"


class Witness:
    """Writes its notes to a file, line by line, which outlives a process that dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()
        self._context: StepContext | None = None
        self._direction = Direction.ACTION

    def watched(self, saga: Saga) -> Saga:
        """The same saga, with each function under watch."""
        return saga.with_steps(self._watched_step(step) for step in saga)

    def hear(self, call: Call) -> None:
        """A provider is called by the function that runs just now."""
        if self._context is None:
            return
        own = _keys_of(self._context)
        self._write(
            CALLED,
            moment=call.moment,
            operation=call.operation,
            key=call.key,
            own_key=any(key in call.key for key in own),
            in_transaction=database.in_transaction(),
        )

    def notes(self, saga_id: str) -> list[Note]:
        """What was noted of this execution, in order."""
        notes = (Note(**json.loads(line)) for line in self._path.read_text().splitlines())
        return [note for note in notes if note.saga_id == saga_id]

    def _watched_step(self, step: SagaStep) -> SagaStep:
        functions = {"action": step.action, "compensation": step.compensation, "verify": step.verify}
        watched = {
            name: partial(self._call, Direction(name), function) for name, function in functions.items() if function
        }
        return replace(step, **watched)  # type: ignore[arg-type]  # (each is a StepCall)

    def _call(self, direction: Direction, function: StepCall, context: StepContext) -> Any:
        self._context, self._direction = context, direction
        self._write(BEGUN)
        try:
            returned = function(context)
        except BaseException as error:
            ended = classify(error, get_settings().UNCERTAIN_EXCEPTIONS)
            plain = ended.outcome is Outcome.FAILED and not ended.refused and not ended.unavailable
            self._write(RAISED, error_type=type(error).__name__, taken_for_failed=plain)
            raise
        else:
            self._write(RETURNED)
            return returned
        finally:
            self._context = None

    def _write(self, what: str, **details: Any) -> None:
        if self._context is None:
            return
        note = Note(self._context.saga_id, self._context.step, self._direction.value, what, **details)
        # One write, so that nothing of it is lost with the process.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, (json.dumps(asdict(note)) + "\n").encode())
        finally:
            os.close(handle)


def _keys_of(context: StepContext) -> list[str]:
    names = ("idempotency_key", "idempotency_uuid", "action_key", "action_uuid")
    return [str(key) for name in names if (key := getattr(context, name, None))]
