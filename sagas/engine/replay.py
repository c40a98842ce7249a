"""Replay the step runs and events of a run, and compute the row that follows from them (promise 15).

Pure: rows come in as objects with the right attributes, so this module does not import Django.

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby
from typing import Any, Protocol

from sagas.definition import json_values
from sagas.definition.saga import Saga
from sagas.definition.states import TERMINAL, Direction, EventKind, SagaState, state_after

from . import planner
from .history import History, StepRow, past_attempt, roll_back
from .planner import RollBack, Settle

# Notes and views of personal data do not change the execution.
NOTES = frozenset({EventKind.NOTE, EventKind.REVEAL})
ENGINE_EVENTS = frozenset({EventKind.HELD, EventKind.LOST_LEASE, EventKind.CANCELLED})
FRESH_BUDGET = frozenset({EventKind.RETRY, EventKind.RELEASE, EventKind.COMPENSATE})


class ExecutionRow(Protocol):
    """The columns of an execution that replay starts from; the model `SagaExecution` has them."""

    saga_id: Any
    input: Any
    plan: Any


class StepRunRow(StepRow, Protocol):
    """The columns of a step run that replay needs; the model `StepRun` has them."""

    changes: Any


class EventRow(Protocol):
    """The columns of an event that replay needs; the model `SagaEvent` has them."""

    kind: Any
    version: Any
    data: Any


@dataclass
class Replay:
    """The position that follows from the history. `objections` are sentences about entries that contradict it."""

    saga: Saga
    history: History
    context: dict[str, Any]
    held: str = ""
    cause: str = ""
    objections: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The values that the columns of the row must have, apart from the context."""
        return self.history.columns | {"state": comparable_state(self.history.state), "held": self.held}

    def add_version(self, version: int, runs: Sequence[StepRunRow], events: Sequence[EventRow]) -> None:
        """Apply the entries of one version of the row: the step runs first, then the events."""
        if not {event.kind for event in events} & {EventKind.HELD, EventKind.CANCELLED}:
            self.settle()
        for run in runs:
            self._add_step_run(run)
        for event in events:
            if event.kind == EventKind.HELD:
                self._add_hold(event)
            elif event.kind == EventKind.CANCELLED:
                self.history = roll_back(self.history, "")
            elif event.kind not in ENGINE_EVENTS:
                self._add_operation(version, event)

    def settle(self) -> None:
        """End the run if its last step is over, because a checkpoint ended it without an entry of its own."""
        move = self._next_move()
        if isinstance(move, Settle) and not self.held:
            state = state_after(self.history.state, move.event)
            self.history = replace(self.history, state=state, failed_step=move.failed_step)

    def _add_step_run(self, run: StepRunRow) -> None:
        if self.history.state in TERMINAL and run.direction == Direction.ACTION:
            self.objections.append(f"{run} came at version {run.sequence}, when it was {self.history.state} already")
        self.history = self.history.with_attempt(past_attempt(run))
        self.context = json_values.apply_changes(self.context, run.changes)
        if run.direction == Direction.RESOLVED:
            return  # The event of the same operation says what follows from the resolution.
        move = self._next_move()
        if isinstance(move, RollBack):
            self.history = roll_back(self.history, move.failed_step)

    def _add_hold(self, event: EventRow) -> None:
        """Apply a hold.

        If `on_change` failed when a run was about to end FAILED with nothing to compensate, the held row is
        COMPENSATING.
        """
        self.held, self.cause = event.data["held"], event.data["cause"]
        move = self._next_move()
        fails = isinstance(move, Settle) and state_after(self.history.state, move.event) is SagaState.FAILED
        if self.cause == "on_change" and fails and self.history.state is SagaState.IN_PROGRESS:
            self.history = roll_back(self.history, move.failed_step if isinstance(move, Settle) else "")

    def _add_operation(self, version: int, event: EventRow) -> None:
        data, history = event.data, self.history
        state = comparable_state(SagaState(data["to"]))
        if event.kind == EventKind.RETRY and "run" in data:
            self.history = replace(history, state=state, budget_since=version, keys_since=version)
            return
        if comparable_state(SagaState(data["from"])) is not comparable_state(history.state):
            self.objections.append(f"{event.kind} at version {version} met {data['from']}, not {history.state}")
        history = replace(history, state=state, failed_step=data.get("failed_step", history.failed_step))
        if event.kind in FRESH_BUDGET and not (event.kind == EventKind.RELEASE and self.cause == "on_change"):
            history = replace(history, budget_since=version)
        if event.kind == EventKind.RETRY:
            history = replace(history, keys_since=version)
        if event.kind == EventKind.CORRECT and history.state is not SagaState.FAILED:
            self.context = json_values.apply_changes(self.context, data["changes"])
        if event.kind == EventKind.HOLD:
            self.cause = data["cause"]
        self.history, self.held = history, data.get("held", self.held)

    def _next_move(self) -> planner.Move:
        return planner.next_move(self.saga, self.history, planner.FOREVER)


def replay(saga: Saga, execution: ExecutionRow, runs: Sequence[StepRunRow], events: Sequence[EventRow]) -> Replay:
    """Replay the step runs and events of the execution's current run, in the order of their versions.

    `execution` gives only the input and, for a first run, the plan: both are older than the history. Compare the
    result's `columns` and `context` with the row; `objections` lists contradictions in the history itself.
    """
    events = [event for event in events if event.kind not in NOTES]
    plan = next((event.data["plan"] for event in events if "plan" in event.data), execution.plan)
    run = max((event.data["run"] for event in events if "run" in event.data), default=1)
    history = History(execution.saga_id, run, SagaState.IN_PROGRESS, tuple(plan))
    # The input at the start of the run: undo the corrections that were made since.
    corrections = [event.data["former"] for event in events if event.kind == EventKind.CORRECT]
    context = reduce(json_values.apply_changes, reversed(corrections), dict(execution.input))
    replayed = Replay(saga, history, context)
    for version, its_runs, its_events in _by_version(runs, events):
        replayed.add_version(version, its_runs, its_events)
    replayed.settle()
    return replayed


def comparable_state(state: SagaState) -> SagaState:
    """Return IN_PROGRESS for PENDING, other states unchanged.

    A claim leaves no entry in the history, so a replay cannot tell the two apart.
    """
    return SagaState.IN_PROGRESS if state is SagaState.PENDING else state


def _by_version(
    runs: Sequence[StepRunRow], events: Sequence[EventRow]
) -> Iterator[tuple[int, list[StepRunRow], list[EventRow]]]:
    """Group the entries by version.

    Leave out requests for a leased row, because they changed nothing when they were made.
    """
    entries: list[tuple[int, StepRunRow | None, EventRow | None]] = [(run.sequence, run, None) for run in runs]
    entries += [(event.version, None, event) for event in events if not event.data.get("requested")]
    entries.sort(key=lambda entry: entry[0])
    for version, group in groupby(entries, key=lambda entry: entry[0]):
        together = list(group)
        yield version, [run for _, run, _ in together if run], [event for _, _, event in together if event]
