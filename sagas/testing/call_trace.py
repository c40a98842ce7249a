"""Trace the calls of step functions: the provider calls of each, their keys, and how the function ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sagas.conf import get_settings
from sagas.definition.context import StepContext
from sagas.definition.saga import Saga, StepCall
from sagas.definition.states import Direction, Outcome
from sagas.engine.error_classification import classify
from sagas.storage import database

from .providers import Call

BEGUN, CALLED, RETURNED, RAISED = "begun", "called", "returned", "raised"


@dataclass(frozen=True)
class TraceEvent:
    """An event during a call of a step function.

    `what` is BEGUN, CALLED (the function called a provider), RETURNED or RAISED. `own_key` is True if the provider call
    used the step's idempotency key or a key derived from it. `counts_as_failed` is True if the exception means that
    the attempt had no effect.
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
    counts_as_failed: bool = False

    @property
    def function(self) -> str:
        """A readable name of the function, such as "action of charge"."""
        return f"{self.direction} of {self.step}"


class CallTrace:
    """Writes each event as one line of a file, so that the events survive a killed process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()
        self._context: StepContext | None = None
        self._direction = Direction.ACTION

    def traced(self, saga: Saga) -> Saga:
        """Return a copy of the saga in which every action, compensation and verify function is traced."""
        steps = []
        for step in saga:
            functions = {"action": step.action, "compensation": step.compensation, "verify": step.verify}
            traced = {
                name: partial(self._call, Direction(name), function) for name, function in functions.items() if function
            }
            steps.append(replace(step, **traced))  # type: ignore[arg-type]  # (each is a StepCall)
        return saga.with_steps(steps)

    def add_call(self, call: Call) -> None:
        """Record a provider call of the function that runs now."""
        if self._context is None:
            return
        names = ("idempotency_key", "idempotency_uuid", "action_key", "action_uuid")
        own = [str(key) for name in names if (key := getattr(self._context, name, None))]
        self._write(
            CALLED,
            moment=call.moment,
            operation=call.operation,
            key=call.key,
            own_key=any(key in call.key for key in own),
            in_transaction=database.in_transaction(),
        )

    def events(self, saga_id: str) -> list[TraceEvent]:
        """Return the events of the execution, in order."""
        events = (TraceEvent(**json.loads(line)) for line in self._path.read_text().splitlines())
        return [event for event in events if event.saga_id == saga_id]

    def _call(self, direction: Direction, function: StepCall, context: StepContext) -> Any:
        self._context, self._direction = context, direction
        self._write(BEGUN)
        try:
            returned = function(context)
        except BaseException as error:
            ended = classify(error, get_settings().UNCERTAIN_EXCEPTIONS)
            failed = ended.outcome is Outcome.FAILED and not ended.refused and not ended.unavailable
            self._write(RAISED, error_type=type(error).__name__, counts_as_failed=failed)
            raise
        else:
            self._write(RETURNED)
            return returned
        finally:
            self._context = None

    def _write(self, what: str, **details: Any) -> None:
        if self._context is None:
            return
        event = TraceEvent(self._context.saga_id, self._context.step, self._direction.value, what, **details)
        # Write with one system call, so that a killed process leaves no incomplete line.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, (json.dumps(asdict(event)) + "\n").encode())
        finally:
            os.close(handle)
