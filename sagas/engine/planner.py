"""What to do next: a pure function of the saga, its history and the time.

No clock, no database, no Django. Time enters in one way only, as a wait for a moment that the history names,
so that with all waits over (`in_flight`) the history alone tells which attempt a dead worker was making.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagas.definition.saga import Saga, SagaStep, StepContext
from sagas.definition.states import TERMINAL, Direction, Ending, SagaState, StateEvent

from .history import History, StepFacts, deferred_since, facts_of, key_of, past_pivot, roll_back, settled_at

FOREVER = dt.datetime.max.replace(tzinfo=dt.UTC)
DEFERRED_WITHOUT_ATTENTION = dt.timedelta(hours=1)


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
        return (
            self.step.effective_compensation_timeout if self.direction is Direction.COMPENSATION else self.step.timeout
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`; `aside` when only set-aside undos are left."""

    until: dt.datetime
    deferred: bool = False
    attention: bool = False


@dataclass(frozen=True, slots=True)
class RollBack:
    """The saga cannot succeed any more: undo what was done."""

    failed_step: str


@dataclass(frozen=True, slots=True)
class Settle:
    """The run has ended, by this event."""

    event: StateEvent
    failed_step: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A person has to decide; `reason` is a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """The run has ended already."""


Move = Attempt | Wait | RollBack | Settle | Hold | Rest


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


def verify_attempt(history: History, step: SagaStep) -> Attempt:
    """An attempt to find out about a step, whatever its turn."""
    view = facts_of(history)[step.name]
    return Attempt(
        step,
        Direction.VERIFY,
        view.counts.get(Direction.VERIFY, 0) + 1,
        key_of(history, step.name, Direction.VERIFY),
    )


def remaining(saga: Saga, history: History) -> list[str]:
    """Names of the steps whose effect stands, or may stand, although it should be undone; last step first."""
    return [step.name for step, _ in _open_compensations(saga, history)]


def needs_start_mark(step: SagaStep) -> bool:
    """Whether the beginning of the step's action is put down first: it must not be called again in doubt."""
    return not step.idempotent and not step.transactional


def start_mark(saga: Saga, history: History) -> bool | None:
    """False while the next attempt is an action whose mark is still to come, None where there will be none."""
    attempt = in_flight(saga, history)
    marked = attempt is not None and attempt.direction is Direction.ACTION and needs_start_mark(attempt.step)
    return False if marked else None


def current_step(saga: Saga, history: History) -> str:
    """The name of the planned step that is next, in hand or in the way; "" when all are through."""
    views = facts_of(history)
    places = enumerate(history.plan)
    waiting = (n for place, n in places if not views[n].done and not _passed_by(saga, views, history.plan, place))
    return next(waiting, "")


def is_deferred(history: History, step: SagaStep) -> bool:
    """Whether the step's undo has been set aside."""
    return deferred_since(step, facts_of(history)[step.name]) is not None


def _move(saga: Saga, history: History, now: dt.datetime) -> Move:
    if history.state is SagaState.COMPENSATING:
        return _next_compensation(saga, history, now)
    return _next_step(saga, history, now)


def _next_when_ended(saga: Saga, history: History) -> Move:
    if history.state is SagaState.PARTIALLY_COMPENSATED and not _open_compensations(saga, history):
        return Settle(StateEvent.RESOLVE, history.failed_step)
    return Rest()


def _next_step(saga: Saga, history: History, now: dt.datetime) -> Move:
    views = facts_of(history)
    for place, name in enumerate(history.plan):
        step, view = _step(saga, name), views[name]
        if view.done or _passed_by(saga, views, history.plan, place):
            continue
        if not _over(step, view):
            return _attempt_or_wait(history, step, view, Direction.ACTION, view.retry_at(Direction.ACTION), now)
        if view.in_doubt and step.verify and not view.verify_over:
            return _attempt_or_wait(history, step, view, Direction.VERIFY, _ask_at(step, view), now)
        if not step.optional:
            return _failure(saga, history, step)
    return Settle(StateEvent.COMPLETE, history.failed_step)


def _passed_by(saga: Saga, views: Mapping[str, StepFacts], plan: Sequence[str], place: int) -> bool:
    """Whether an optional step is behind us: a fresh budget does not take the saga back to it."""
    later = (Direction.ACTION in views[name].last for name in plan[place + 1 :])
    return _step(saga, plan[place]).optional and any(later)


def _over(step: SagaStep, view: StepFacts) -> bool:
    return view.over or (not step.idempotent and (view.uncertain or view.ruled_out))


def _ask_at(step: SagaStep, view: StepFacts) -> dt.datetime | None:
    """The attempt's own request may still be on its way: not before one timeout after its deadline."""
    asked = view.last.get(Direction.VERIFY)
    if view.last_in_doubt is None:
        return None
    if asked and asked.sequence > view.last_in_doubt.sequence:
        return asked.retry_at
    return settled_at(step, view.last_in_doubt)


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
    if _open_compensations(saga, rolling):
        return RollBack(step.name)
    return Settle(StateEvent.FAIL, step.name)


def _pivot_that_stays_in_doubt(saga: Saga, history: History) -> str:
    """The name of a pivot that may have happened and cannot be undone, "" if there is none."""
    views = facts_of(history)
    steps = [_step(saga, name) for name in history.plan if views[name].in_doubt]
    return next((step.name for step in steps if step.pivot and not step.compensation), "")


def _open_compensations(saga: Saga, history: History) -> list[tuple[SagaStep, StepFacts]]:
    views = facts_of(history)
    steps = [_step(saga, name) for name in reversed(history.plan)]
    return [(step, views[step.name]) for step in steps if step.compensation and views[step.name].to_compensate]


def _next_compensation(saga: Saga, history: History, now: dt.datetime) -> Move:
    undos = _open_compensations(saga, history)
    deferred = []
    for step, view in undos:
        if view.compensation_ending is Ending.POISON:
            return Hold(
                f"The undo of step {step.name!r} keeps killing its worker. "
                "Mend the cause and release, or resolve the step by hand."
            )
        if view.compensation_ending is not Ending.NONE:
            continue
        if deferred_since(step, view):
            deferred.append((step, view))
            continue
        due = view.retry_at(Direction.COMPENSATION)
        return _attempt_or_wait(history, step, view, Direction.COMPENSATION, due, now)
    if deferred:
        return _next_deferred(history, deferred, now)
    event = StateEvent.GIVE_UP if undos else StateEvent.ALL_COMPENSATED
    return Settle(event, history.failed_step)


def _next_deferred(history: History, deferred: Sequence[tuple[SagaStep, StepFacts]], now: dt.datetime) -> Move:
    """The one that has been waiting longest; by their retry times, so that `in_flight` can tell."""
    step, view = min(
        deferred,
        key=lambda pair: pair[1].retry_at(Direction.COMPENSATION) or dt.datetime.min.replace(tzinfo=dt.UTC),
    )
    move = _attempt_or_wait(history, step, view, Direction.COMPENSATION, view.retry_at(Direction.COMPENSATION), now)
    if not isinstance(move, Wait):
        return move
    alarm = min(deferred_since(*pair) or now for pair in deferred) + DEFERRED_WITHOUT_ATTENTION
    if alarm <= now:
        return Wait(move.until, deferred=True, attention=True)
    return Wait(min(move.until, alarm), deferred=True)


def _attempt_or_wait(
    history: History,
    step: SagaStep,
    view: StepFacts,
    direction: Direction,
    due: dt.datetime | None,
    now: dt.datetime,
) -> Move:
    if due is not None and due > now:
        return Wait(due)
    return Attempt(step, direction, view.counts.get(direction, 0) + 1, key_of(history, step.name, direction))


def _step(saga: Saga, name: str) -> SagaStep:
    """Today's step of that name; for one that is gone a stand-in, which only `in_flight` ever meets."""
    return saga.step(name) or SagaStep(name, action=_gone, compensation=_gone)


def _gone(context: StepContext) -> None:
    raise LookupError(f"step {context.step!r} is no longer defined")
