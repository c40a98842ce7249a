"""The one wrapper of an execution with its definition and its history, for operations and for every surface."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from django.db.models import F, Q, QuerySet

from sagas.definition.exceptions import UnknownExecution, UnreadableRow
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import SagaState
from sagas.engine import planner
from sagas.engine.history import History, StepFacts, facts_of, in_doubt, past_attempt, roll_back
from sagas.engine.leased_execution import load_history
from sagas.engine.planner import Attempt
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.models.clock import CLOCK
from sagas.storage import database

Row = TypeVar("Row", StepRun, SagaEvent)

HOLDS = (SagaEvent.Kind.HELD, SagaEvent.Kind.HOLD)
ROLLING_BACK = frozenset({SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED})
# What `load_views` reads of the events: corrections, and who held those that are held.
EVENTS_LOADED = Q(kind=SagaEvent.Kind.CORRECT) | (Q(kind__in=HOLDS) & ~Q(execution__held=""))


@dataclass(frozen=True)
class ExecutionView:
    """An execution, its saga (None if it is not registered here) and the history of its current run.

    `step_runs` and `events` are the rows that were loaded with it, if any; the events have all corrections.
    """

    execution: SagaExecution
    saga: Saga | None
    history: History
    step_runs: Sequence[StepRun] = ()
    events: Sequence[SagaEvent] | None = None

    @property
    def state(self) -> SagaState:
        """The state of the execution."""
        return self.execution.state

    @property
    def rolling_back(self) -> bool:
        """Whether compensations are due, or some could not be made."""
        return self.state in ROLLING_BACK

    @property
    def facts(self) -> Mapping[str, StepFacts]:
        """What the history says of each planned step."""
        return facts_of(self.history)

    @property
    def references(self) -> tuple[str, ...]:
        """The context keys that people search by."""
        return tuple(self.saga.references) if self.saga else ()

    @property
    def remaining(self) -> list[str]:
        """The steps that a rollback still has to compensate, last step first."""
        return planner.remaining(self.saga, self.history) if self.saga else []

    @property
    def compensated(self) -> list[str]:
        """The compensated steps, last step first."""
        return [name for name in reversed(self.history.plan) if self.facts[name].compensated]

    @property
    def in_doubt(self) -> list[str]:
        """The steps that may have taken effect."""
        return in_doubt(self.history)

    @property
    def without_compensation(self) -> list[str]:
        """The steps that took effect, or may have, and that have no compensation."""
        steps = [self.step(name) for name in self.history.plan if self.facts[name].to_compensate]
        return [step.name for step in steps if step and step.compensation is None]

    @property
    def next_attempt(self) -> Attempt | None:
        """The attempt that is being made or comes next."""
        return planner.in_flight(self.saga, self.history) if self.saga else None

    @property
    def waits_until(self) -> dt.datetime | None:
        """When it goes on, if that is in the future and no worker has it."""
        due = self.execution.due_at
        waits = due is not None and not self.execution.leased and due > CLOCK.by_host()
        return due if waits else None

    @property
    def hold_cause(self) -> str:
        """Who held it last: operator, engine or on_change."""
        return hold_cause(self.execution, self.events)

    @property
    def current_step_runs(self) -> list[StepRun]:
        """The loaded step runs of the current run."""
        return [row for row in self.step_runs if row.run == self.execution.run]

    @property
    def current_events(self) -> list[SagaEvent]:
        """The loaded events of the current run."""
        return [event for event in self.events or () if event.run == self.execution.run]

    def step(self, name: str) -> SagaStep | None:
        """The step of that name in the saga's current definition."""
        return self.saga.step(name) if self.saga else None

    def with_history(self, history: History) -> ExecutionView:
        """The same execution, as if this were its history."""
        return replace(self, history=history, step_runs=(), events=None)

    def as_rolling_back(self) -> ExecutionView:
        """The same execution, as if an operator's rollback had begun."""
        return self.with_history(roll_back(self.history, ""))


def load_view(saga_id: str) -> ExecutionView:
    """Load the execution of that id as it is now; raises UnknownExecution."""
    view = find_view(saga_id)
    if view is None:
        raise UnknownExecution(saga_id)
    return view


def find_view(saga_id: str) -> ExecutionView | None:
    """Load the execution of that id as it is now, or None if there is none."""
    execution = SagaExecution.objects.using(database.alias()).with_id(saga_id).first()
    return view_of(execution) if execution else None


def view_of(execution: SagaExecution) -> ExecutionView:
    """Load the history of an execution whose row is loaded."""
    return ExecutionView(execution, all_sagas().get(execution.saga_name), load_history(execution))


def load_views(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[ExecutionView]:
    """Load the executions with these primary keys, in this order, in three queries; leave out unreadable ones."""
    try:
        return _load_all(executions, keys)
    except UnreadableRow:
        half = len(keys) // 2
        return [*load_views(executions, keys[:half]), *load_views(executions, keys[half:])] if half else []


def hold_cause(execution: SagaExecution, events: Iterable[SagaEvent] | None = None) -> str:
    """Return who held it last: operator, engine or on_change; `events`, newest first, spare the query."""
    if events is None:
        events = execution.events.using(database.alias()).filter(kind__in=HOLDS).order_by("-id")[:10]
    return next((event.data["cause"] for event in events if "cause" in event.data), "operator")


def _load_all(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[ExecutionView]:
    rows = executions.in_bulk(list(keys))
    current = StepRun.objects.using(database.alias()).filter(execution__in=rows, run=F("execution__run"))
    step_runs = _by_execution(current.defer("changes").order_by("sequence"))
    found = SagaEvent.objects.using(database.alias()).filter(EVENTS_LOADED, execution__in=rows)
    events = _by_execution(found.order_by("-id"))
    views = []
    for execution in (rows[key] for key in keys if key in rows):
        attempts = tuple(past_attempt(row) for row in step_runs[execution.pk])
        saga, history = all_sagas().get(execution.saga_name), load_history(execution, attempts)
        views.append(ExecutionView(execution, saga, history, step_runs[execution.pk], events[execution.pk]))
    return views


def _by_execution(rows: Iterable[Row]) -> defaultdict[int, list[Row]]:
    found: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.execution_id].append(row)
    return found
