"""Steps that do what a script says, and what tests need to drive a saga made of them."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from sagas import OutcomeUnknown, Saga, SagaStep, StepContext
from sagas.definition import registry
from sagas.definition.states import Direction
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.tampering import unguarded

Does = Any  # an exception to raise, a mapping or None to return, or a function of the context

ids = itertools.count(1)


def new_id() -> str:
    """An id that no other execution of this process has."""
    return f"saga-{next(ids)}"


@dataclass(frozen=True)
class Called:
    """One call of a step's function, as the function saw it."""

    step: str
    direction: Direction
    attempt: int
    key: str
    context: Mapping[str, Any]
    output: Mapping[str, Any] | None
    outputs: Mapping[str, Any]
    run: int

    def __str__(self) -> str:
        return {Direction.COMPENSATION: f"{self.step}.undo", Direction.VERIFY: f"{self.step}.verify"}.get(
            self.direction, self.step
        )


class Stage:
    """Makes steps whose functions follow a script, and keeps each call in order."""

    def __init__(self) -> None:
        self.calls: list[Called] = []

    @property
    def told(self) -> list[str]:
        """The calls as words: "charge", "charge.undo", "charge.verify"."""
        return [str(call) for call in self.calls]

    @property
    def keys(self) -> list[str]:
        """The idempotency key of each call."""
        return [call.key for call in self.calls]

    def step(
        self,
        name: str,
        *does: Does,
        undo: Sequence[Does] | None = (),
        verify: Sequence[Does] | None = None,
        **options: Any,
    ) -> SagaStep:
        """A step that does one thing of its script after the other, the last of them for ever; retries at once.

        `undo=None` leaves it without a compensation, an empty script always succeeds.
        """
        options = {"retry_delay": 0, "max_delay": 0, "jitter": False} | options
        return SagaStep(
            name,
            self.function(Direction.ACTION, does),
            None if undo is None else self.function(Direction.COMPENSATION, undo),
            verify=None if verify is None else self.function(Direction.VERIFY, verify),
            **options,
        )

    def function(self, direction: Direction, does: Sequence[Does]) -> Callable[[StepContext], Any]:
        """A function that follows a script."""
        script = list(does) or [{}]

        def play(context: StepContext) -> Any:
            self.calls.append(
                Called(
                    context.step,
                    direction,
                    context.attempt,
                    context.idempotency_key,
                    dict(context),
                    context.output,
                    context.outputs,
                    context.run,
                )
            )
            now = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(now, BaseException) or (isinstance(now, type) and issubclass(now, BaseException)):
                raise now
            return now(context) if callable(now) else now

        return play


def run(*steps: SagaStep, saga_id: str | None = None, name: str = "trip", **options: Any) -> SagaExecution:
    """Execute a saga of these steps inline."""
    return get_saga_orchestrator().execute(saga_id or new_id(), name, list(steps), **options)


def run_saga(saga: Saga, saga_id: str | None = None, **options: Any) -> SagaExecution:
    """Execute this saga inline."""
    return get_saga_orchestrator().execute(saga_id or new_id(), saga.name, saga, **options)


class Registered:
    """Registers sagas for one test; `redefine` is a deployment of other code."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, *steps: SagaStep, name: str = "trip", **options: Any) -> Saga:
        self.names.add(name)
        registry.unregister(name)
        return registry.register(Saga(name, steps, **options))

    def forget(self) -> None:
        """Unregister them all."""
        for name in self.names:
            registry.unregister(name)


def let_pass(execution: SagaExecution, seconds: float) -> SagaExecution:
    """Let time pass for one execution: all its moments move into the past."""
    span = dt.timedelta(seconds=seconds)
    rows = SagaExecution.objects.filter(pk=execution.pk)
    rows.update(**{name: F(name) - span for name in ("created_at", "started_at", "finished_at", "due_at", "rank_at")})
    with unguarded():
        execution.events.update(at=F("at") - span)
        execution.step_runs.update(**{name: F(name) - span for name in ("started_at", "finished_at", "retry_at")})
    execution.refresh_from_db()
    return execution


def let_wait_pass(execution: SagaExecution) -> SagaExecution:
    """Let the time pass that it waits for."""
    execution.refresh_from_db()
    if execution.due_at is None:
        return execution
    left = (execution.due_at - dt.datetime.now(dt.UTC)).total_seconds() + 0.01  # times are rounded to 1 ms
    return let_pass(execution, left) if left > 0 else execution


def finish(*steps: SagaStep, saga_id: str) -> SagaExecution:
    """Execute a saga to its end; what it waits for is over at once."""
    execution = run(*steps, saga_id=saga_id, max_seconds=0)
    while execution.due_at:
        let_wait_pass(execution)
        execution = run(*steps, saga_id=saga_id, max_seconds=0.05)
    return execution


def story(execution: SagaExecution) -> list[str]:
    """Its step runs of this run, in words: "charge action 1 uncertain"."""
    return [f"{run.step} {run.direction} {run.attempt} {run.outcome}" for run in execution.step_executions]


def lost() -> OutcomeUnknown:
    """An answer that never came."""
    return OutcomeUnknown("the answer got lost")
