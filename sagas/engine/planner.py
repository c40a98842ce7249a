"""Decide what to do next. Pure: reads the saga, its history and the time, and touches nothing.

Time enters in one way only, as a wait for a moment that the history names. So with all waits over (`in_flight`) the
history alone tells which attempt the worker that lost the lease was making.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sagas.definition.context import StepContext
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import TERMINAL, Direction, Ending, SagaState, StateEvent

from .history import History, StepFacts, deferred_since, facts_of, in_doubt, key_of, past_pivot, roll_back, settled_at

FOREVER = dt.datetime.max.replace(tzinfo=dt.UTC)
DEFERRED_WITHOUT_ATTENTION = dt.timedelta(hours=1)


class Request(StrEnum):
    """What an operator may ask of a leased execution; the values of `pending_request`."""

    CANCEL = "cancel"
    HOLD = "hold"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Call the step's action, compensation or verify now."""

    step: SagaStep
    direction: Direction
    number: int
    key: str

    @property
    def timeout(self) -> float:
        """Seconds that it may take."""
        if self.direction is Direction.COMPENSATION:
            return self.step.effective_compensation_timeout
        return self.step.timeout

    @property
    def in_transaction(self) -> bool:
        """Whether it commits together with its checkpoint (promise 12)."""
        return self.step.transactional and self.direction is not Direction.VERIFY


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before `until`; `deferred` if only deferred compensations are left."""

    until: dt.datetime
    deferred: bool = False
    attention: bool = False


@dataclass(frozen=True, slots=True)
class RollBack:
    """Compensate what was done: the saga cannot succeed any more."""

    failed_step: str


@dataclass(frozen=True, slots=True)
class Settle:
    """End the run, by this event."""

    event: StateEvent
    failed_step: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for a person's decision; `reason` is a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Do nothing: the run has ended already."""


@dataclass(frozen=True, slots=True)
class Obey:
    """Carry out an operator's request; first ask the providers of the steps `to_verify`."""

    request: str
    to_verify: tuple[SagaStep, ...] = ()


Move = Attempt | Wait | RollBack | Settle | Hold | Rest | Obey


def next_move(saga: Saga, history: History, now: dt.datetime) -> Move:
    """Return the one thing to do next."""
    if history.state in TERMINAL:
        if history.state is SagaState.PARTIALLY_COMPENSATED and not _open_compensations(saga, history):
            return Settle(StateEvent.RESOLVE, history.failed_step)
        return Rest()
    missing = [name for name in history.plan if saga.step(name) is None]
    if missing:
        return Hold(
            f"The definition of {saga.name} no longer has the step {missing[0]!r}, which this execution was planned "
            "with. Deploy a version that has it, then release."
        )
    return _next_when_unfinished(saga, history, now)


def in_flight(saga: Saga, history: History) -> Attempt | None:
    """Return the attempt that the owner of the row was making or was about to make, whatever the time."""
    if history.state in TERMINAL:
        return None
    move = _next_when_unfinished(saga, history, FOREVER)
    return move if isinstance(move, Attempt) else None


def obey(saga: Saga, history: History, request: str) -> Obey:
    """Return the move that carries out an operator's request."""
    if request != Request.VERIFY:
        return Obey(request)
    steps = [saga.step(name) for name in in_doubt(history)]
    return Obey(request, tuple(step for step in steps if step and step.verify))


def move_on_request(saga: Saga, history: History, request: str, now: dt.datetime) -> Move:
    """Return what follows from a request. A cancel rolls back, and names no failed step because none failed."""
    if request != Request.CANCEL or history.state is not SagaState.IN_PROGRESS:
        return next_move(saga, history, now)
    to_compensate = remaining(saga, roll_back(history, ""))
    return RollBack("") if to_compensate else Settle(StateEvent.FAIL, "")


def verify_attempt(history: History, step: SagaStep) -> Attempt:
    """Return an attempt to verify a step, whatever its turn."""
    number = facts_of(history)[step.name].counts.get(Direction.VERIFY, 0) + 1
    return Attempt(step, Direction.VERIFY, number, key_of(history, step.name, Direction.VERIFY))


def remaining(saga: Saga, history: History) -> list[str]:
    """Return the steps that remain to be compensated, last step first."""
    return [step.name for step, _ in _open_compensations(saga, history)]


def needs_start_mark(step: SagaStep) -> bool:
    """Return whether the start of the step's action is recorded first: in doubt it must not be called again."""
    return not step.idempotent and not step.transactional


def start_mark(saga: Saga, history: History) -> bool | None:
    """Return the value of `action_started` before the next attempt.

    False if the next attempt is an action whose start will be marked, None if there will be no mark.
    """
    attempt = in_flight(saga, history)
    marked = attempt is not None and attempt.direction is Direction.ACTION and needs_start_mark(attempt.step)
    return False if marked else None


def current_step(saga: Saga, history: History) -> str:
    """Return the planned step that runs, comes next or blocks the others; "" if all are over."""
    facts = facts_of(history)
    for place, name in enumerate(history.plan):
        if not facts[name].done and not _passed_by(saga, facts, history.plan, place):
            return name
    return ""


def is_deferred(history: History, step: SagaStep) -> bool:
    """Return whether the step's compensation is deferred."""
    return deferred_since(step, facts_of(history)[step.name]) is not None


def _next_when_unfinished(saga: Saga, history: History, now: dt.datetime) -> Move:
    if history.state is SagaState.COMPENSATING:
        return _next_compensation(saga, history, now)
    return _next_step(saga, history, now)


def _next_step(saga: Saga, history: History, now: dt.datetime) -> Move:
    all_facts = facts_of(history)
    for place, name in enumerate(history.plan):
        step, facts = _step(saga, name), all_facts[name]
        if facts.done or _passed_by(saga, all_facts, history.plan, place):
            continue
        if not facts.over and (step.idempotent or not (facts.uncertain or facts.ruled_out)):
            return _attempt_or_wait(history, step, facts, Direction.ACTION, facts.retry_at(Direction.ACTION), now)
        if facts.in_doubt and step.verify and not facts.verify_over:
            return _attempt_or_wait(history, step, facts, Direction.VERIFY, _verify_at(step, facts), now)
        if not step.optional:
            return _failure(saga, history, step)
    return Settle(StateEvent.COMPLETE, history.failed_step)


def _passed_by(saga: Saga, facts: Mapping[str, StepFacts], plan: Sequence[str], place: int) -> bool:
    """Return whether a later step was tried after this optional one: a fresh budget does not come back to it."""
    later_tried = (Direction.ACTION in facts[name].last for name in plan[place + 1 :])
    return _step(saga, plan[place]).optional and any(later_tried)


def _verify_at(step: SagaStep, facts: StepFacts) -> dt.datetime | None:
    """Return when to ask: the attempt's own request may be on its way until one timeout after its deadline."""
    asked = facts.last.get(Direction.VERIFY)
    if facts.last_in_doubt is None:
        return None
    if asked and asked.sequence > facts.last_in_doubt.sequence:
        return asked.retry_at
    return settled_at(step, facts.last_in_doubt)


def _failure(saga: Saga, history: History, step: SagaStep) -> Move:
    if past_pivot(saga, history):
        return Hold(
            f"Step {step.name!r} failed for good after the point of no return. "
            "Fix the cause, then release; or mark the step as resolved."
        )
    in_doubt_steps = [_step(saga, name) for name in history.plan if facts_of(history)[name].in_doubt]
    pivots = [each.name for each in in_doubt_steps if each.pivot and not each.compensation]
    if pivots:
        return Hold(
            f"It is not known whether step {pivots[0]!r}, the point of no return, took effect. "
            "Check with the provider, then mark the step as resolved."
        )
    if _open_compensations(saga, roll_back(history, step.name)):
        return RollBack(step.name)
    return Settle(StateEvent.FAIL, step.name)


def _open_compensations(saga: Saga, history: History) -> list[tuple[SagaStep, StepFacts]]:
    facts = facts_of(history)
    steps = [_step(saga, name) for name in reversed(history.plan)]
    return [(step, facts[step.name]) for step in steps if step.compensation and facts[step.name].to_compensate]


def _next_compensation(saga: Saga, history: History, now: dt.datetime) -> Move:
    compensations = _open_compensations(saga, history)
    deferred = []
    for step, facts in compensations:
        if facts.compensation_ending is Ending.POISON:
            return Hold(
                f"The compensation of step {step.name!r} keeps crashing its worker. "
                "Fix the cause, then release; or mark the step as resolved."
            )
        if facts.compensation_ending is not Ending.NONE:
            continue
        if deferred_since(step, facts):
            deferred.append((step, facts))
            continue
        due = facts.retry_at(Direction.COMPENSATION)
        return _attempt_or_wait(history, step, facts, Direction.COMPENSATION, due, now)
    if deferred:
        return _next_deferred(history, deferred, now)
    event = StateEvent.GIVE_UP if compensations else StateEvent.ALL_COMPENSATED
    return Settle(event, history.failed_step)


def _next_deferred(history: History, deferred: Sequence[tuple[SagaStep, StepFacts]], now: dt.datetime) -> Move:
    """Return the move for the one that is due first, by retry times, so that `in_flight` gets the same answer."""
    step, facts = min(
        deferred,
        key=lambda pair: pair[1].retry_at(Direction.COMPENSATION) or dt.datetime.min.replace(tzinfo=dt.UTC),
    )
    due = facts.retry_at(Direction.COMPENSATION)
    move = _attempt_or_wait(history, step, facts, Direction.COMPENSATION, due, now)
    if not isinstance(move, Wait):
        return move
    alarm = min(deferred_since(*pair) or now for pair in deferred) + DEFERRED_WITHOUT_ATTENTION
    if alarm <= now:
        return Wait(move.until, deferred=True, attention=True)
    return Wait(min(move.until, alarm), deferred=True)


def _attempt_or_wait(
    history: History,
    step: SagaStep,
    facts: StepFacts,
    direction: Direction,
    due: dt.datetime | None,
    now: dt.datetime,
) -> Move:
    if due is not None and due > now:
        return Wait(due)
    return Attempt(step, direction, facts.counts.get(direction, 0) + 1, key_of(history, step.name, direction))


def _step(saga: Saga, name: str) -> SagaStep:
    """Return today's step of that name. A missing one gets a placeholder, which only `in_flight` uses."""
    return saga.step(name) or SagaStep(name, action=_missing, compensation=_missing)


def _missing(context: StepContext) -> None:
    raise LookupError(f"step {context.step!r} is no longer defined")
