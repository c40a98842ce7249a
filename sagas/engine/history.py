"""What has happened in a run so far, and what that says of each of its steps; no clock, no database, no Django."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import Direction, Ending, Outcome, Resolution, SagaState

T = TypeVar("T")

IN_DOUBT = frozenset({Outcome.UNCERTAIN, Outcome.PENDING})


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One attempt of this run as the planner sees it; `lost` when its worker died during it."""

    sequence: int
    step: str
    direction: Direction
    attempt: int
    outcome: Outcome
    key: str
    started_at: dt.datetime
    finished_at: dt.datetime
    ending: Ending = Ending.NONE
    retry_at: dt.datetime | None = None
    output: Mapping[str, Any] | None = None
    lost: bool = False
    resolution: Resolution | None = None

    @property
    def spends(self) -> bool:
        """Whether it counts against the retries."""
        return not self.lost and self.outcome in (Outcome.FAILED, Outcome.UNCERTAIN)


class StepRow(Protocol):
    """The columns of a step run that the rules need; the model `StepRun` has them."""

    sequence: Any
    step: Any
    direction: Any
    attempt: Any
    outcome: Any
    idempotency_key: Any
    started_at: Any
    finished_at: Any
    ending: Any
    retry_at: Any
    output: Any
    resolution: Any

    @property
    def lost(self) -> bool:
        """Whether the worker died during the attempt."""


def past_attempt(row: StepRow) -> PastAttempt:
    """Convert a step run's row; UnreadableRow where newer code wrote a value that this code does not know."""
    return PastAttempt(
        sequence=row.sequence,
        step=row.step,
        direction=_member("direction", row.direction, Direction),
        attempt=row.attempt,
        outcome=_member("outcome", row.outcome, Outcome),
        key=row.idempotency_key,
        started_at=row.started_at,
        finished_at=row.finished_at,
        ending=_member("ending", row.ending, Ending),
        retry_at=row.retry_at,
        output=row.output,
        lost=row.lost,
        resolution=_member("resolution", row.resolution, Resolution) if row.resolution else None,
    )


def _member(column: str, value: str, enum: Callable[[str], T]) -> T:
    try:
        return enum(value)
    except ValueError as error:
        raise UnreadableRow(column, str(error)) from error


@dataclass(frozen=True, slots=True)
class History:
    """What has happened in the current run. Budgets count the records after version `budget_since`;
    an undo gets a new key only if an operator's retry, at version `keys_since`, came after its last attempt."""

    saga_id: str
    run: int
    state: SagaState
    plan: tuple[str, ...]
    attempts: tuple[PastAttempt, ...] = ()
    failed_step: str = ""
    budget_since: int = 0
    keys_since: int = 0
    views: dict[str, StepFacts] | None = field(default=None, init=False, repr=False, compare=False)

    def with_attempt(self, past: PastAttempt) -> History:
        """The history with one more record."""
        return replace(self, attempts=(*self.attempts, past))

    def in_state(self, state: SagaState, failed_step: str) -> History:
        """The history in that state; itself, with the views already made, when it is in that state."""
        if (state, failed_step) == (self.state, self.failed_step):
            return self
        return replace(self, state=state, failed_step=failed_step)


@dataclass(slots=True)
class StepFacts:
    """What the records say of one step: of its action, and of its undo."""

    done: bool = False
    in_doubt: bool = False
    uncertain: bool = False
    over: bool = False
    ruled_out: bool = False
    resolved: bool = False
    verify_over: bool = False
    ending: Ending = Ending.NONE
    output: Mapping[str, Any] | None = None
    compensated: bool = False
    compensation_in_doubt: bool = False
    compensation_uncertain: bool = False
    compensation_ending: Ending = Ending.NONE
    counts: dict[Direction, int] = field(default_factory=dict)
    spent: dict[Direction, int] = field(default_factory=dict)
    last: dict[Direction, PastAttempt] = field(default_factory=dict)
    last_in_doubt: PastAttempt | None = None
    pending_since: dict[Direction, dt.datetime] = field(default_factory=dict)
    compensation_failures: list[dt.datetime] = field(default_factory=list)

    @property
    def to_compensate(self) -> bool:
        """It took effect, or may have, and that has not been taken back."""
        return (self.done or self.in_doubt) and not self.compensated

    def retry_at(self, direction: Direction) -> dt.datetime | None:
        """When the next attempt of that direction may start; None = at once."""
        last = self.last.get(direction)
        return last.retry_at if last else None


def roll_back(history: History, failed_step: str) -> History:
    """The history once the rollback has begun."""
    return replace(history, state=SagaState.COMPENSATING, failed_step=failed_step)


def retried(history: History, version: int) -> History:
    """The history of a rollback that an operator's act, at this version, takes up again."""
    return replace(history, state=SagaState.COMPENSATING, budget_since=version, keys_since=version)


def steps_completed(history: History) -> list[str]:
    """Names of the planned steps that succeeded or were resolved as done, in order."""
    views = facts_of(history)
    return [name for name in history.plan if views[name].done]


def outputs(history: History) -> dict[str, Mapping[str, Any]]:
    """Step name -> what its action returned, for the steps of this run that succeeded."""
    views = facts_of(history)
    return {name: dict(views[name].output or {}) for name in history.plan if views[name].done}


def compensation_performed(history: History) -> bool:
    """Whether an undo of this run succeeded."""
    return any(r.direction is Direction.COMPENSATION and r.outcome is Outcome.SUCCEEDED for r in history.attempts)


def in_doubt(history: History) -> list[str]:
    """Names of the steps of which nobody knows whether they took effect."""
    views = facts_of(history)
    return [name for name in history.plan if views[name].in_doubt and not views[name].compensated]


def past_pivot(saga: Saga, history: History) -> bool:
    """Whether the point of no return has been passed."""
    views = facts_of(history)
    return any(step.pivot and step.name in views and views[step.name].done for step in saga)


def deserves_attention(history: History) -> bool:
    """Whether a run that ended FAILED did so for a reason that a person should look at."""
    view = facts_of(history).get(history.failed_step)
    return view is not None and view.ending is not Ending.REFUSED and not view.resolved


def facts_of(history: History) -> dict[str, StepFacts]:
    """What the records say of each planned step; made once for each history, and only to be read."""
    views = history.views
    if views is None:
        views = _views(history)
        object.__setattr__(history, "views", views)
    return views


def key_of(history: History, step: str, direction: Direction) -> str:
    """The idempotency key of the next attempt of that direction."""
    key = f"{history.saga_id}:{history.run}:{step}"
    if direction is not Direction.COMPENSATION:
        return key
    undos = [r for r in history.attempts if r.step == step and r.direction is Direction.COMPENSATION]
    if not undos:
        return f"{key}:undo"
    last = undos[-1]
    stays = last.sequence > history.keys_since or any(r.outcome is not Outcome.FAILED for r in undos)
    return last.key if stays else f"{key}:undo:{len({r.key for r in undos}) + 1}"


def settled_at(step: SagaStep, doubted: PastAttempt) -> dt.datetime:
    """From when on a provider that does not know of the attempt will not hear of it any more."""
    timeout = dt.timedelta(seconds=step.timeout)
    return max(doubted.started_at + 2 * timeout, doubted.finished_at + timeout)


def deferred_since(step: SagaStep, view: StepFacts) -> dt.datetime | None:
    """When the attempt ended that spent the undo's last retry; None while one is left."""
    failures = view.compensation_failures
    return (
        failures[step.effective_compensation_retry_count]
        if len(failures) > step.effective_compensation_retry_count
        else None
    )


def _views(history: History) -> dict[str, StepFacts]:
    views = {name: StepFacts() for name in history.plan}
    for past in history.attempts:
        if past.step in views:
            _take_in(views[past.step], past, fresh=past.sequence > history.budget_since)
    return views


def _take_in(view: StepFacts, past: PastAttempt, *, fresh: bool) -> None:
    direction = past.direction
    if direction is Direction.RESOLVED:
        _take_in_resolution(view, past, fresh=fresh)
        return
    view.counts[direction] = view.counts.get(direction, 0) + 1
    view.last[direction] = past
    if fresh:
        _take_in_budget(view, past)
    if direction is Direction.ACTION:
        _take_in_action(view, past, fresh=fresh)
    elif direction is Direction.VERIFY:
        _take_in_verify(view, past, fresh=fresh)
    else:
        _take_in_undo(view, past, fresh=fresh)


def _take_in_budget(view: StepFacts, past: PastAttempt) -> None:
    if past.spends:
        view.spent[past.direction] = view.spent.get(past.direction, 0) + 1
    if past.outcome is Outcome.PENDING:
        view.pending_since.setdefault(past.direction, past.started_at)


def _take_in_action(view: StepFacts, past: PastAttempt, *, fresh: bool) -> None:
    view.ending = past.ending
    if past.outcome is Outcome.SUCCEEDED:
        _succeed(view, past)
    elif past.outcome in IN_DOUBT:
        view.in_doubt, view.last_in_doubt, view.compensated = True, past, False
        view.uncertain = view.uncertain or past.outcome is Outcome.UNCERTAIN
        view.output = past.output if past.outcome is Outcome.PENDING else view.output
    view.over = fresh and past.ending is not Ending.NONE


def _take_in_verify(view: StepFacts, past: PastAttempt, *, fresh: bool) -> None:
    if past.outcome is Outcome.SUCCEEDED:
        _succeed(view, past)
    elif past.outcome is Outcome.FAILED:
        view.in_doubt, view.uncertain, view.ruled_out = False, False, fresh
    view.verify_over = fresh and past.ending is not Ending.NONE


def _succeed(view: StepFacts, past: PastAttempt) -> None:
    view.done, view.in_doubt, view.uncertain, view.compensated, view.output = True, False, False, False, past.output


def _take_in_undo(view: StepFacts, past: PastAttempt, *, fresh: bool) -> None:
    view.compensated = past.outcome is Outcome.SUCCEEDED
    view.compensation_in_doubt = view.compensation_in_doubt or past.outcome in IN_DOUBT
    view.compensation_uncertain = view.compensation_uncertain or past.outcome is Outcome.UNCERTAIN
    view.compensation_ending = past.ending if fresh else Ending.NONE
    if fresh and past.spends:
        view.compensation_failures.append(past.finished_at)


def _take_in_resolution(view: StepFacts, past: PastAttempt, *, fresh: bool) -> None:
    """A person's word: `done` before any undo means that the step took effect, after one that it may stay.
    `not_done` ends its attempts; a release begins new ones."""
    view.in_doubt, view.uncertain, view.resolved = False, False, True
    view.over = view.over or (fresh and past.resolution is Resolution.NOT_DONE)
    view.done = past.resolution is Resolution.DONE or (view.done and past.resolution is Resolution.UNDONE)
    view.compensated = past.resolution is Resolution.UNDONE or (view.done and Direction.COMPENSATION in view.last)
    if past.resolution is Resolution.DONE and past.output is not None:
        view.output = past.output
