"""An execution's row, made again from its step runs and events alone (promise 15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby
from typing import Any

from sagas.definition import json_values
from sagas.definition.saga import Saga
from sagas.definition.states import TERMINAL, Direction, SagaState, state_after
from sagas.models import SagaEvent, SagaExecution, StepRun

from . import planner
from .history import History, compensation_performed, roll_back, steps_completed
from .leased_execution import past_attempt
from .planner import RollBack, Settle

Kind = SagaEvent.Kind
BY_THE_ENGINE = frozenset({Kind.HELD, Kind.LOST_LEASE, Kind.CANCELLED})
REMARKS = frozenset({Kind.NOTE, Kind.REVEAL})  # of people, who changed nothing by them
FRESH_BUDGET = frozenset({Kind.RETRY, Kind.RELEASE, Kind.COMPENSATE})


@dataclass
class Fold:
    """What the history says of the current run; `objections` are sentences on what cannot have happened."""

    saga: Saga
    history: History
    context: dict[str, Any]
    held: str = ""
    cause: str = ""
    objections: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The row's columns as they must be, the context apart."""
        return {
            "state": started(self.history.state),
            "run": self.history.run,
            "plan": list(self.history.plan),
            "steps_completed": steps_completed(self.history),
            "failed_step": self.history.failed_step,
            "compensation_performed": compensation_performed(self.history),
            "budget_since": self.history.budget_since,
            "keys_since": self.history.keys_since,
            "held": self.held,
        }


def started(state: SagaState) -> SagaState:
    """PENDING and IN_PROGRESS are one: that an execution has been claimed leaves no trace but its step runs."""
    return SagaState.IN_PROGRESS if state is SagaState.PENDING else state


def fold(saga: Saga, execution: SagaExecution, runs: Sequence[StepRun], events: Sequence[SagaEvent]) -> Fold:
    """Fold the step runs and events of the execution's current run.

    Its input is taken from the row, as is the plan of its first run: both were there before anything happened.
    """
    events = [event for event in events if event.kind not in REMARKS]
    plan = next((event.data["plan"] for event in events if "plan" in event.data), execution.plan)
    history = History(execution.saga_id, _run_of(events), SagaState.IN_PROGRESS, tuple(plan))
    folded = Fold(saga, history, _input_at_start(execution, events))
    for version, group in _by_version(runs, events):
        _take_in(folded, version, group)
    _settle(folded)
    return folded


def _input_at_start(execution: SagaExecution, events: Sequence[SagaEvent]) -> dict[str, Any]:
    """The input as the run found it: today's, with what was corrected since taken back."""
    corrections = [event.data["former"] for event in events if event.kind == Kind.CORRECT]
    return reduce(json_values.apply_changes, reversed(corrections), dict(execution.input))


def _run_of(events: Sequence[SagaEvent]) -> int:
    return max((event.data["run"] for event in events if "run" in event.data), default=1)


def _by_version(runs: Sequence[StepRun], events: Sequence[SagaEvent]) -> Iterator[tuple[int, list[Any]]]:
    """What each version brought, the step run first; a request changed nothing when it was made."""
    rows: list[tuple[int, int, Any]] = [(run.sequence, 0, run) for run in runs]
    rows += [(event.version, 1, event) for event in events if not event.data.get("requested")]
    rows.sort(key=lambda row: row[:2])
    for version, group in groupby(rows, key=lambda row: row[0]):
        yield version, [row for _, _, row in group]


def _take_in(folded: Fold, version: int, group: Sequence[Any]) -> None:
    kinds = {row.kind for row in group if isinstance(row, SagaEvent)}
    if not kinds & {Kind.HELD, Kind.CANCELLED}:
        _settle(folded)
    for row in group:
        if isinstance(row, StepRun):
            _take_in_run(folded, row)
        elif row.kind == Kind.HELD:
            _take_in_hold(folded, row)
        elif row.kind == Kind.CANCELLED:
            _roll_back(folded, "")
        elif row.kind not in BY_THE_ENGINE:
            _take_in_act(folded, version, row)


def _take_in_run(folded: Fold, run: StepRun) -> None:
    history = folded.history
    if history.state in TERMINAL and run.direction == Direction.ACTION:
        folded.objections.append(f"{run} came at version {run.sequence}, when it was {history.state} already")
    folded.history = history.with_attempt(past_attempt(run))
    folded.context = json_values.apply_changes(folded.context, run.changes)
    if run.direction == Direction.RESOLVED:
        return  # what a person's word led to is in the act's own event
    move = planner.next_move(folded.saga, folded.history, planner.FOREVER)
    if isinstance(move, RollBack):
        _roll_back(folded, move.failed_step)


def _take_in_hold(folded: Fold, event: SagaEvent) -> None:
    """What an on_change kept from failing has nothing left to undo, and says so by its state."""
    folded.held, folded.cause = event.data["held"], event.data["cause"]
    move = planner.next_move(folded.saga, folded.history, planner.FOREVER)
    ends = isinstance(move, Settle) and state_after(folded.history.state, move.event) is SagaState.FAILED
    if folded.cause == "on_change" and ends and folded.history.state is SagaState.IN_PROGRESS:
        _roll_back(folded, move.failed_step if isinstance(move, Settle) else "")


def _take_in_act(folded: Fold, version: int, event: SagaEvent) -> None:
    data, history = event.data, folded.history
    if event.kind == Kind.RETRY and "run" in data:
        folded.history = replace(
            history, state=started(SagaState(data["to"])), budget_since=version, keys_since=version
        )
        return
    if started(SagaState(data["from"])) is not started(history.state):
        folded.objections.append(f"{event.kind} at version {version} met {data['from']}, not {history.state}")
    history = replace(
        history, state=started(SagaState(data["to"])), failed_step=data.get("failed_step", history.failed_step)
    )
    if event.kind in FRESH_BUDGET and not (event.kind == Kind.RELEASE and folded.cause == "on_change"):
        history = replace(history, budget_since=version)
    if event.kind == Kind.RETRY:
        history = replace(history, keys_since=version)
    if event.kind == Kind.CORRECT and history.state is not SagaState.FAILED:
        folded.context = json_values.apply_changes(folded.context, data["changes"])
    if event.kind == Kind.HOLD:
        folded.cause = data["cause"]
    folded.history, folded.held = history, data.get("held", folded.held)


def _roll_back(folded: Fold, failed_step: str) -> None:
    folded.history = roll_back(folded.history, failed_step)


def _settle(folded: Fold) -> None:
    """A run whose last step is behind it has ended, at that step's checkpoint or at a later one."""
    move = planner.next_move(folded.saga, folded.history, planner.FOREVER)
    if isinstance(move, Settle) and not folded.held:
        state = state_after(folded.history.state, move.event)
        folded.history = replace(folded.history, state=state, failed_step=move.failed_step)
