"""What has happened in a run so far, and what that says of each of its steps; no clock, no database, no Django."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .definition import Saga, SagaStep
from .states import Direction, Ending, Outcome, Resolution, SagaState

IN_DOUBT = frozenset({Outcome.UNCERTAIN, Outcome.PENDING})


@dataclass(frozen=True, slots=True)
class Record:
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


@dataclass(frozen=True, slots=True)
class History:
    """What has happened in the current run. Budgets count the records after version `budget_since`;
    an undo gets a new key only if an operator's retry, at version `keys_since`, came after its last attempt."""

    saga_id: str
    run: int
    state: SagaState
    plan: tuple[str, ...]
    records: tuple[Record, ...] = ()
    failed_step: str = ""
    budget_since: int = 0
    keys_since: int = 0
    views: dict[str, View] | None = field(default=None, init=False, repr=False, compare=False)

    def with_record(self, record: Record) -> History:
        """The history with one more record."""
        return replace(self, records=(*self.records, record))

    def standing(self, state: SagaState, failed_step: str) -> History:
        """The history in that state; itself, with the views already made, when it is in that state."""
        if (state, failed_step) == (self.state, self.failed_step):
            return self
        return replace(self, state=state, failed_step=failed_step)


@dataclass(slots=True)
class View:
    """What the records say of one step: of its action, and of its undo."""

    done: bool = False
    doubt: bool = False
    uncertain: bool = False
    over: bool = False
    ruled_out: bool = False
    resolved: bool = False
    verify_over: bool = False
    ending: Ending = Ending.NONE
    output: Mapping[str, Any] | None = None
    undone: bool = False
    undo_doubt: bool = False
    undo_uncertain: bool = False
    undo_ending: Ending = Ending.NONE
    counts: dict[Direction, int] = field(default_factory=dict)
    spent: dict[Direction, int] = field(default_factory=dict)
    last: dict[Direction, Record] = field(default_factory=dict)
    doubted: Record | None = None
    pending_since: dict[Direction, dt.datetime] = field(default_factory=dict)
    undo_failures: list[dt.datetime] = field(default_factory=list)

    @property
    def to_undo(self) -> bool:
        """It took effect, or may have, and that has not been taken back."""
        return (self.done or self.doubt) and not self.undone

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
    views = views_of(history)
    return [name for name in history.plan if views[name].done]


def outputs(history: History) -> dict[str, Mapping[str, Any]]:
    """Step name -> what its action returned, for the steps of this run that succeeded."""
    views = views_of(history)
    return {name: dict(views[name].output or {}) for name in history.plan if views[name].done}


def compensation_performed(history: History) -> bool:
    """Whether an undo of this run succeeded."""
    return any(r.direction is Direction.COMPENSATION and r.outcome is Outcome.SUCCEEDED for r in history.records)


def in_doubt(history: History) -> list[str]:
    """Names of the steps of which nobody knows whether they took effect."""
    views = views_of(history)
    return [name for name in history.plan if views[name].doubt and not views[name].undone]


def past_pivot(saga: Saga, history: History) -> bool:
    """Whether the point of no return has been passed."""
    views = views_of(history)
    return any(step.pivot and step.name in views and views[step.name].done for step in saga)


def deserves_attention(history: History) -> bool:
    """Whether a run that ended FAILED did so for a reason that a person should look at."""
    view = views_of(history).get(history.failed_step)
    return view is not None and view.ending is not Ending.REFUSED and not view.resolved


def views_of(history: History) -> dict[str, View]:
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
    undos = [r for r in history.records if r.step == step and r.direction is Direction.COMPENSATION]
    if not undos:
        return f"{key}:undo"
    last = undos[-1]
    stays = last.sequence > history.keys_since or any(r.outcome is not Outcome.FAILED for r in undos)
    return last.key if stays else f"{key}:undo:{len({r.key for r in undos}) + 1}"


def settled_at(step: SagaStep, doubted: Record) -> dt.datetime:
    """From when on a provider that does not know of the attempt will not hear of it any more."""
    timeout = dt.timedelta(seconds=step.timeout)
    return max(doubted.started_at + 2 * timeout, doubted.finished_at + timeout)


def aside_since(step: SagaStep, view: View) -> dt.datetime | None:
    """When the attempt ended that spent the undo's last retry; None while one is left."""
    failures = view.undo_failures
    return failures[step.undo_retry_count] if len(failures) > step.undo_retry_count else None


def _views(history: History) -> dict[str, View]:
    views = {name: View() for name in history.plan}
    for record in history.records:
        if record.step in views:
            _take_in(views[record.step], record, fresh=record.sequence > history.budget_since)
    return views


def _take_in(view: View, record: Record, *, fresh: bool) -> None:
    direction = record.direction
    if direction is Direction.RESOLVED:
        _take_in_resolution(view, record, fresh=fresh)
        return
    view.counts[direction] = view.counts.get(direction, 0) + 1
    view.last[direction] = record
    if fresh:
        _take_in_budget(view, record)
    if direction is Direction.ACTION:
        _take_in_action(view, record, fresh=fresh)
    elif direction is Direction.VERIFY:
        _take_in_verify(view, record, fresh=fresh)
    else:
        _take_in_undo(view, record, fresh=fresh)


def _take_in_budget(view: View, record: Record) -> None:
    if record.spends:
        view.spent[record.direction] = view.spent.get(record.direction, 0) + 1
    if record.outcome is Outcome.PENDING:
        view.pending_since.setdefault(record.direction, record.started_at)


def _take_in_action(view: View, record: Record, *, fresh: bool) -> None:
    view.ending = record.ending
    if record.outcome is Outcome.SUCCEEDED:
        _succeed(view, record)
    elif record.outcome in IN_DOUBT:
        view.doubt, view.doubted, view.undone = True, record, False
        view.uncertain = view.uncertain or record.outcome is Outcome.UNCERTAIN
        view.output = record.output if record.outcome is Outcome.PENDING else view.output
    view.over = fresh and record.ending is not Ending.NONE


def _take_in_verify(view: View, record: Record, *, fresh: bool) -> None:
    if record.outcome is Outcome.SUCCEEDED:
        _succeed(view, record)
    elif record.outcome is Outcome.FAILED:
        view.doubt, view.uncertain, view.ruled_out = False, False, fresh
    view.verify_over = fresh and record.ending is not Ending.NONE


def _succeed(view: View, record: Record) -> None:
    view.done, view.doubt, view.uncertain, view.undone, view.output = True, False, False, False, record.output


def _take_in_undo(view: View, record: Record, *, fresh: bool) -> None:
    view.undone = record.outcome is Outcome.SUCCEEDED
    view.undo_doubt = view.undo_doubt or record.outcome in IN_DOUBT
    view.undo_uncertain = view.undo_uncertain or record.outcome is Outcome.UNCERTAIN
    view.undo_ending = record.ending if fresh else Ending.NONE
    if fresh and record.spends:
        view.undo_failures.append(record.finished_at)


def _take_in_resolution(view: View, record: Record, *, fresh: bool) -> None:
    """A person's word: `done` before any undo means that the step took effect, after one that it may stay.
    `not_done` ends its attempts; a release begins new ones."""
    view.doubt, view.uncertain, view.resolved = False, False, True
    view.over = view.over or (fresh and record.resolution is Resolution.NOT_DONE)
    view.done = record.resolution is Resolution.DONE or (view.done and record.resolution is Resolution.UNDONE)
    view.undone = record.resolution is Resolution.UNDONE or (view.done and Direction.COMPENSATION in view.last)
    if record.resolution is Resolution.DONE and record.output is not None:
        view.output = record.output
