"""What to do next: a pure function of the saga, its history and the time.

No clock, no database, no Django. Time enters in one way only, as a wait for a moment that the history names,
so that with all waits over (`in_flight`) the history alone tells which attempt a dead worker was making.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .definition import Saga, SagaStep, StepContext
from .outcomes import Ended
from .states import TERMINAL, Direction, Ending, Outcome, Resolution, SagaEventKind, SagaState

FOREVER = dt.datetime.max.replace(tzinfo=dt.UTC)
ASIDE_WITHOUT_ATTENTION = dt.timedelta(hours=1)
SHORTEST_TIME_ASIDE = 1.0
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """Call the step's action, compensation or verify now."""

    step: SagaStep
    direction: Direction
    number: int
    key: str

    @property
    def timeout(self) -> float:
        """Seconds it may take."""
        return self.step.undo_timeout if self.direction is Direction.COMPENSATION else self.step.timeout


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`; `aside` when only set-aside undos are left."""

    until: dt.datetime
    aside: bool = False
    attention: bool = False


@dataclass(frozen=True, slots=True)
class RollBack:
    """The saga cannot succeed any more: undo what was done."""

    failed_step: str


@dataclass(frozen=True, slots=True)
class Settle:
    """The run has ended, by this event."""

    event: SagaEventKind
    failed_step: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A person has to decide; `reason` is a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """The run has ended already."""


Move = Attempt | Wait | RollBack | Settle | Hold | Rest


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


def next_move(saga: Saga, history: History, now: dt.datetime) -> Move:
    """The one thing to do next, from what has happened so far; touches nothing."""
    if history.state in TERMINAL:
        return _next_when_ended(saga, history)
    gone = [name for name in history.plan if saga.step(name) is None]
    if gone:
        return Hold(
            f"The definition of {saga.name} no longer has the step {gone[0]!r}, which this execution was planned with. "
            "Deploy a version that has it, then release."
        )
    return _move(saga, history, now)


def in_flight(saga: Saga, history: History) -> Attempt | None:
    """The attempt that the owner of the row was making or about to make, whatever the time."""
    if history.state in TERMINAL:
        return None
    move = _move(saga, history, FOREVER)
    return move if isinstance(move, Attempt) else None


def roll_back(history: History, failed_step: str) -> History:
    """The history once the rollback has begun."""
    return replace(history, state=SagaState.COMPENSATING, failed_step=failed_step)


def retried(history: History, version: int) -> History:
    """The history of a rollback that an operator's act, at this version, takes up again."""
    return replace(history, state=SagaState.COMPENSATING, budget_since=version, keys_since=version)


def asking(history: History, step: SagaStep) -> Attempt:
    """An attempt to find out about a step, whatever its turn."""
    view = views_of(history)[step.name]
    return Attempt(
        step,
        Direction.VERIFY,
        view.counts.get(Direction.VERIFY, 0) + 1,
        key_of(history, step.name, Direction.VERIFY),
    )


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


def remaining(saga: Saga, history: History) -> list[str]:
    """Names of the steps whose effect stands, or may stand, although it should be undone; last step first."""
    return [step.name for step, _ in _open_undos(saga, history)]


def needs_mark(step: SagaStep) -> bool:
    """Whether the beginning of the step's action is put down first: it must not be called again in doubt."""
    return not step.idempotent and not step.transactional


def mark_to_come(saga: Saga, history: History) -> bool | None:
    """False while the next attempt is an action whose mark is still to come, None where there will be none."""
    attempt = in_flight(saga, history)
    marked = attempt is not None and attempt.direction is Direction.ACTION and needs_mark(attempt.step)
    return False if marked else None


def standing_at(saga: Saga, history: History) -> str:
    """The name of the planned step that is next, in hand or in the way; "" when all are through."""
    views = views_of(history)
    places = enumerate(history.plan)
    waiting = (n for place, n in places if not views[n].done and not _passed_by(saga, views, history.plan, place))
    return next(waiting, "")


def in_doubt(history: History) -> list[str]:
    """Names of the steps of which nobody knows whether they took effect."""
    views = views_of(history)
    return [name for name in history.plan if views[name].doubt and not views[name].undone]


def past_pivot(saga: Saga, history: History) -> bool:
    """Whether the point of no return has been passed."""
    views = views_of(history)
    return any(step.pivot and step.name in views and views[step.name].done for step in saga)


def is_aside(history: History, step: SagaStep) -> bool:
    """Whether the step's undo has been set aside."""
    return _aside_since(step, views_of(history)[step.name]) is not None


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt goes into the books, and when the next of its kind may start."""

    outcome: Outcome
    ending: Ending = Ending.NONE
    retry_at: dt.datetime | None = None


def judge(
    history: History,
    attempt: Attempt,
    ended: Ended,
    started_at: dt.datetime,
    now: dt.datetime,
    luck: float,
    patience: float,
) -> Verdict:
    """What an attempt that ended so means for the budget of its step.

    `luck` (0 to 1) spreads the delay, `patience` is COMPENSATION_PATIENCE in seconds.
    """
    view = views_of(history)[attempt.step.name]
    if ended.outcome is Outcome.SUCCEEDED:
        return Verdict(Outcome.SUCCEEDED)
    if attempt.direction is Direction.VERIFY:
        return _judge_verify(view, attempt, ended, now, luck)
    if ended.outcome is Outcome.PENDING:
        return _judge_pending(view, attempt, ended, started_at, now)
    if ended.refused:
        return Verdict(Outcome.FAILED, Ending.REFUSED)
    if attempt.direction is Direction.COMPENSATION:
        return _judge_undo(view, attempt, ended, now, luck, patience)
    return _judge_action(view, attempt, ended, now, luck)


def _move(saga: Saga, history: History, now: dt.datetime) -> Move:
    if history.state is SagaState.COMPENSATING:
        return _next_undo(saga, history, now)
    return _next_step(saga, history, now)


def _next_when_ended(saga: Saga, history: History) -> Move:
    if history.state is SagaState.PARTIALLY_COMPENSATED and not _open_undos(saga, history):
        return Settle(SagaEventKind.RESOLVE, history.failed_step)
    return Rest()


def _next_step(saga: Saga, history: History, now: dt.datetime) -> Move:
    views = views_of(history)
    for place, name in enumerate(history.plan):
        step, view = _step(saga, name), views[name]
        if view.done or _passed_by(saga, views, history.plan, place):
            continue
        if not _over(step, view):
            return _attempt_or_wait(history, step, view, Direction.ACTION, view.retry_at(Direction.ACTION), now)
        if view.doubt and step.verify and not view.verify_over:
            return _attempt_or_wait(history, step, view, Direction.VERIFY, _ask_at(step, view), now)
        if not step.optional:
            return _failure(saga, history, step)
    return Settle(SagaEventKind.COMPLETE, history.failed_step)


def _passed_by(saga: Saga, views: Mapping[str, View], plan: Sequence[str], place: int) -> bool:
    """Whether an optional step is behind us: a fresh budget does not take the saga back to it."""
    later = (Direction.ACTION in views[name].last for name in plan[place + 1 :])
    return _step(saga, plan[place]).optional and any(later)


def _over(step: SagaStep, view: View) -> bool:
    return view.over or (not step.idempotent and (view.uncertain or view.ruled_out))


def _ask_at(step: SagaStep, view: View) -> dt.datetime | None:
    """The attempt's own request may still be on its way: not before one timeout after its deadline."""
    asked = view.last.get(Direction.VERIFY)
    if view.doubted is None:
        return None
    if asked and asked.sequence > view.doubted.sequence:
        return asked.retry_at
    return _settled_at(step, view.doubted)


def _settled_at(step: SagaStep, doubted: Record) -> dt.datetime:
    """From when on a provider that does not know of the attempt will not hear of it any more."""
    timeout = dt.timedelta(seconds=step.timeout)
    return max(doubted.started_at + 2 * timeout, doubted.finished_at + timeout)


def _failure(saga: Saga, history: History, step: SagaStep) -> Move:
    if past_pivot(saga, history):
        return Hold(
            f"Step {step.name!r} failed for good after the point of no return. "
            "Mend the cause and release, or resolve the step by hand."
        )
    pivot = _pivot_that_stays_in_doubt(saga, history)
    if pivot:
        return Hold(
            f"Nobody knows whether step {pivot!r}, the point of no return, took effect. "
            "Find out and resolve it by hand."
        )
    rolling = roll_back(history, step.name)
    if _open_undos(saga, rolling):
        return RollBack(step.name)
    return Settle(SagaEventKind.FAIL, step.name)


def _pivot_that_stays_in_doubt(saga: Saga, history: History) -> str:
    """The name of a pivot that may have happened and cannot be undone, "" if there is none."""
    views = views_of(history)
    steps = [_step(saga, name) for name in history.plan if views[name].doubt]
    return next((step.name for step in steps if step.pivot and not step.compensation), "")


def _open_undos(saga: Saga, history: History) -> list[tuple[SagaStep, View]]:
    views = views_of(history)
    steps = [_step(saga, name) for name in reversed(history.plan)]
    return [(step, views[step.name]) for step in steps if step.compensation and views[step.name].to_undo]


def _next_undo(saga: Saga, history: History, now: dt.datetime) -> Move:
    undos = _open_undos(saga, history)
    aside = []
    for step, view in undos:
        if view.undo_ending is Ending.POISON:
            return Hold(
                f"The undo of step {step.name!r} keeps killing its worker. "
                "Mend the cause and release, or resolve the step by hand."
            )
        if view.undo_ending is not Ending.NONE:
            continue
        if _aside_since(step, view):
            aside.append((step, view))
            continue
        due = view.retry_at(Direction.COMPENSATION)
        return _attempt_or_wait(history, step, view, Direction.COMPENSATION, due, now)
    if aside:
        return _next_aside(history, aside, now)
    event = SagaEventKind.GIVE_UP if undos else SagaEventKind.UNDONE
    return Settle(event, history.failed_step)


def _aside_since(step: SagaStep, view: View) -> dt.datetime | None:
    """When the attempt ended that spent the undo's last retry; None while one is left."""
    failures = view.undo_failures
    return failures[step.undo_retry_count] if len(failures) > step.undo_retry_count else None


def _next_aside(history: History, aside: Sequence[tuple[SagaStep, View]], now: dt.datetime) -> Move:
    """The one that has been waiting longest; by their retry times, so that `in_flight` can tell."""
    step, view = min(
        aside,
        key=lambda pair: pair[1].retry_at(Direction.COMPENSATION) or dt.datetime.min.replace(tzinfo=dt.UTC),
    )
    move = _attempt_or_wait(history, step, view, Direction.COMPENSATION, view.retry_at(Direction.COMPENSATION), now)
    if not isinstance(move, Wait):
        return move
    alarm = min(_aside_since(*pair) or now for pair in aside) + ASIDE_WITHOUT_ATTENTION
    if alarm <= now:
        return Wait(move.until, aside=True, attention=True)
    return Wait(min(move.until, alarm), aside=True)


def _attempt_or_wait(
    history: History,
    step: SagaStep,
    view: View,
    direction: Direction,
    due: dt.datetime | None,
    now: dt.datetime,
) -> Move:
    if due is not None and due > now:
        return Wait(due)
    return Attempt(step, direction, view.counts.get(direction, 0) + 1, key_of(history, step.name, direction))


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


def _step(saga: Saga, name: str) -> SagaStep:
    """Today's step of that name; for one that is gone a stand-in, which only `in_flight` ever meets."""
    return saga.step(name) or SagaStep(name, action=_gone, compensation=_gone)


def _gone(context: StepContext) -> None:
    raise LookupError(f"step {context.step!r} is no longer defined")


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


def _judge_verify(view: View, attempt: Attempt, ended: Ended, now: dt.datetime, luck: float) -> Verdict:
    if ended.outcome is Outcome.FAILED and ended.error is None:
        return _judge_ruled_out(view, attempt, now)
    spent = view.spent.get(Direction.VERIFY, 0) + 1
    if spent > attempt.step.retry_count:
        return Verdict(Outcome.UNCERTAIN, Ending.SPENT)
    return Verdict(Outcome.UNCERTAIN, retry_at=_after(attempt.step, ended, spent, now, luck))


def _judge_ruled_out(view: View, attempt: Attempt, now: dt.datetime) -> Verdict:
    """It did not happen; said too early, while its request may be on its way, that is worth nothing."""
    settled_at = _settled_at(attempt.step, view.doubted) if view.doubted else now
    if now < settled_at:
        return Verdict(Outcome.UNCERTAIN, retry_at=settled_at)
    return Verdict(Outcome.FAILED, Ending.SPENT)


def _judge_pending(view: View, attempt: Attempt, ended: Ended, started_at: dt.datetime, now: dt.datetime) -> Verdict:
    since = view.pending_since.get(attempt.direction, started_at)
    end = since + dt.timedelta(seconds=attempt.step.patience)
    if now >= end:
        return Verdict(Outcome.UNCERTAIN, Ending.IMPATIENT)
    wait = ended.after or 0.0
    if attempt.direction is Direction.COMPENSATION and _aside_since(attempt.step, view):
        wait = max(wait, attempt.step.max_delay, SHORTEST_TIME_ASIDE)
    return Verdict(Outcome.PENDING, retry_at=min(now + dt.timedelta(seconds=wait), end))


def _judge_action(view: View, attempt: Attempt, ended: Ended, now: dt.datetime, luck: float) -> Verdict:
    spent = view.spent.get(Direction.ACTION, 0) + 1
    never_again = ended.outcome is Outcome.UNCERTAIN and not attempt.step.idempotent
    if spent > attempt.step.retry_count or never_again:
        return Verdict(ended.outcome, Ending.SPENT)
    return Verdict(ended.outcome, retry_at=_after(attempt.step, ended, spent, now, luck))


def _judge_undo(view: View, attempt: Attempt, ended: Ended, now: dt.datetime, luck: float, patience: float) -> Verdict:
    spent = view.spent.get(Direction.COMPENSATION, 0) + 1
    if spent <= attempt.step.undo_retry_count:
        retry_at = _after(attempt.step, ended, spent, now, luck)
        return Verdict(ended.outcome, retry_at=min(retry_at, now + dt.timedelta(seconds=patience)))
    undecided = ended.unavailable or ended.outcome is Outcome.UNCERTAIN or view.undo_doubt
    aside_since = _aside_since(attempt.step, view) or now
    end = aside_since + dt.timedelta(seconds=patience)
    if not undecided or now >= end:
        return Verdict(ended.outcome, Ending.SPENT)
    wait = max(ended.after or 0.0, attempt.step.max_delay, SHORTEST_TIME_ASIDE)
    return Verdict(ended.outcome, retry_at=min(now + dt.timedelta(seconds=wait), end))


def _after(step: SagaStep, ended: Ended, retry: int, now: dt.datetime, luck: float) -> dt.datetime:
    seconds = step.delay(retry, luck) if ended.after is None else max(0.0, ended.after)
    return now + dt.timedelta(seconds=seconds)
