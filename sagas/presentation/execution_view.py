"""`ExecutionView` combines an execution with its saga and its history. Operations, admin, API and commands use it."""

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
# The events that `load_views` loads: all corrections, and the holds of held executions.
EVENTS_LOADED = Q(kind=SagaEvent.Kind.CORRECT) | (Q(kind__in=HOLDS) & ~Q(execution__held=""))


@dataclass(frozen=True)
class ExecutionView:
    """An execution, its saga (None if it is not registered here) and the history of its current run.

    `step_runs` and `events` are the rows that `load_views` loaded. If `events` is not None, it has all corrections.
    """

    execution: SagaExecution
    saga: Saga | None
    history: History
    step_runs: Sequence[StepRun] = ()
    events: Sequence[SagaEvent] | None = None

    @property
    def state(self) -> SagaState:
        return self.execution.state

    @property
    def rolling_back(self) -> bool:
        """Whether steps are being compensated, or could not be compensated."""
        return self.state in ROLLING_BACK

    @property
    def facts(self) -> Mapping[str, StepFacts]:
        """The facts of each planned step, by name, from the history."""
        return facts_of(self.history)

    @property
    def references(self) -> tuple[str, ...]:
        """The context keys by which people can search for the execution."""
        return tuple(self.saga.references) if self.saga else ()

    @property
    def remaining(self) -> list[str]:
        """The names of the steps that a rollback has not compensated yet, last step first."""
        return planner.remaining(self.saga, self.history) if self.saga else []

    @property
    def compensated(self) -> list[str]:
        """The names of the compensated steps, last step first."""
        return [name for name in reversed(self.history.plan) if self.facts[name].compensated]

    @property
    def in_doubt(self) -> list[str]:
        """The names of the steps in doubt: they may have taken effect."""
        return in_doubt(self.history)

    @property
    def without_compensation(self) -> list[str]:
        """The names of the steps without compensation that took effect or may have taken effect."""
        steps = [self.step(name) for name in self.history.plan if self.facts[name].to_compensate]
        return [step.name for step in steps if step and step.compensation is None]

    @property
    def next_attempt(self) -> Attempt | None:
        """The attempt that is running now, or else the next one; None if there is none."""
        return planner.in_flight(self.saga, self.history) if self.saga else None

    @property
    def waits_until(self) -> dt.datetime | None:
        """The time when the execution becomes due, or None if it is due now or a worker has claimed it."""
        due = self.execution.due_at
        waits = due is not None and not self.execution.leased and due > CLOCK.by_host()
        return due if waits else None

    @property
    def hold_cause(self) -> str:
        """The cause of the last hold: operator, engine or on_change."""
        return hold_cause(self.execution, self.events)

    @property
    def current_step_runs(self) -> list[StepRun]:
        """The loaded step runs that belong to the current run."""
        return [row for row in self.step_runs if row.run == self.execution.run]

    @property
    def current_events(self) -> list[SagaEvent]:
        """The loaded events that belong to the current run."""
        return [event for event in self.events or () if event.run == self.execution.run]

    def step(self, name: str) -> SagaStep | None:
        """Return the step called `name` in the saga's current definition, or None."""
        return self.saga.step(name) if self.saga else None

    def with_history(self, history: History) -> ExecutionView:
        """Return a view of the same execution with another history."""
        return replace(self, history=history, step_runs=(), events=None)

    def as_rolling_back(self) -> ExecutionView:
        """Return a view of the same execution, as if an operator had started a rollback."""
        return self.with_history(roll_back(self.history, ""))


def load_view(saga_id: str) -> ExecutionView:
    """Load the execution with this id and the history of its current run, in two queries.

    Raises UnknownExecution if there is none, and UnreadableRow if a row is damaged.
    """
    view = find_view(saga_id)
    if view is None:
        raise UnknownExecution(saga_id)
    return view


def find_view(saga_id: str) -> ExecutionView | None:
    """Like `load_view`, but return None if there is no execution with this id."""
    execution = SagaExecution.objects.using(database.alias()).with_id(saga_id).first()
    return view_of(execution) if execution else None


def view_of(execution: SagaExecution) -> ExecutionView:
    """Load the history of this execution and return its view.

    Makes one query. `view.saga` is None if the saga is not registered here. Raises UnreadableRow if a step run is
    damaged.
    """
    return ExecutionView(execution, all_sagas().get(execution.saga_name), load_history(execution))


def load_views(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[ExecutionView]:
    """Load the executions with these primary keys, in this order, in three queries.

    Only keys that `executions` selects are loaded. Executions with a damaged row are left out; to find them takes more
    queries. Unlike `load_view`, this also loads `step_runs` and `events`.
    """
    try:
        return _load_all(executions, keys)
    except UnreadableRow:
        half = len(keys) // 2
        return [*load_views(executions, keys[:half]), *load_views(executions, keys[half:])] if half else []


def hold_cause(execution: SagaExecution, events: Iterable[SagaEvent] | None = None) -> str:
    """Return the cause of the last hold: "operator", "engine" or "on_change"; "operator" if none is recorded.

    Pass `events`, newest first, if they are loaded. Without them, this function queries the database.
    """
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
