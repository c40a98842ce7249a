"""Decide what an execution does next. Pure: the rules read the saga, its history and the time, and change nothing.

Time only decides whether a wait is over; the history names the end of each wait. Therefore `in_flight`, which treats
every wait as over, finds the attempt that a worker was making when it lost its lease.

Promises: docs/GUARANTEES.md.
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
    """The requests that an operator can make for a leased execution; the values of `pending_request`."""

    CANCEL = "cancel"
    HOLD = "hold"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Call the step's action, compensation or verify function now.

    `number` counts the attempts of this step and direction in the current run, from 1. `key` is the idempotency key.
    """

    step: SagaStep
    direction: Direction
    number: int
    key: str

    @property
    def timeout(self) -> float:
        """The time limit of the call, in seconds."""
        if self.direction is Direction.COMPENSATION:
            return self.step.effective_compensation_timeout
        return self.step.timeout

    @property
    def in_transaction(self) -> bool:
        """Whether the attempt commits together with its checkpoint (promise 12)."""
        return self.step.transactional and self.direction is not Direction.VERIFY


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before `until`.

    `deferred` means that only deferred compensations remain. `attention` means that one of them has been deferred for
    at least DEFERRED_WITHOUT_ATTENTION.
    """

    until: dt.datetime
    deferred: bool = False
    attention: bool = False


@dataclass(frozen=True, slots=True)
class RollBack:
    """Start to compensate, because the saga can no longer succeed. `failed_step` is "" after a cancel."""

    failed_step: str


@dataclass(frozen=True, slots=True)
class Settle:
    """End the run. `event` leads to the final state; `failed_step` is "" if no step failed."""

    event: StateEvent
    failed_step: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until an operator decides. `reason` is a sentence for the operator."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Do nothing, because the run has ended."""


@dataclass(frozen=True, slots=True)
class Obey:
    """Carry out an operator's request. Before that, call the verify function of each step in `to_verify`."""

    request: str
    to_verify: tuple[SagaStep, ...] = ()


Move = Attempt | Wait | RollBack | Settle | Hold | Rest | Obey


def next_move(saga: Saga, history: History, now: dt.datetime) -> Move:
    """Return the move that follows from the history at the time `now`, which is aware.

    `Hold` if the saga no longer defines a planned step of an unfinished execution (promise 14), or if a step failed for
    good after the pivot (promise 13). Compensations follow in reverse order of the plan (promise 5).
    """
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
    """Return the attempt that the owner of the row was making or was about to make, or None if there is none.

    Waits count as over, so the time does not matter. Recovery uses this after a lost lease (promise 2).
    """
    if history.state in TERMINAL:
        return None
    move = _next_when_unfinished(saga, history, FOREVER)
    return move if isinstance(move, Attempt) else None


def obey(saga: Saga, history: History, request: str) -> Obey:
    """Return the move that carries out `request`, a value of `Request`.

    A request to verify names the steps in doubt that have a verify function, in the order of the plan.
    """
    if request != Request.VERIFY:
        return Obey(request)
    steps = [saga.step(name) for name in in_doubt(history)]
    return Obey(request, tuple(step for step in steps if step and step.verify))


def move_on_request(saga: Saga, history: History, request: str, now: dt.datetime) -> Move:
    """Return the move that follows once `request` is carried out, at the time `now`.

    A cancel of a run in progress starts the rollback, or ends the run as FAILED if nothing is to be compensated. It
    names no failed step, because none failed. Any other case is `next_move`.
    """
    if request != Request.CANCEL or history.state is not SagaState.IN_PROGRESS:
        return next_move(saga, history, now)
    to_compensate = remaining(saga, roll_back(history, ""))
    return RollBack("") if to_compensate else Settle(StateEvent.FAIL, "")


def verify_attempt(history: History, step: SagaStep) -> Attempt:
    """Return an attempt of `step.verify` for an operator's request, although another move may be next."""
    number = facts_of(history)[step.name].counts.get(Direction.VERIFY, 0) + 1
    return Attempt(step, Direction.VERIFY, number, key_of(history, step.name, Direction.VERIFY))


def remaining(saga: Saga, history: History) -> list[str]:
    """Return the names of the steps that a rollback still has to compensate, last step first."""
    return [step.name for step, _ in _open_compensations(saga, history)]


def needs_start_mark(step: SagaStep) -> bool:
    """Return whether the start of the step's action must be recorded before the call.

    True if the step is neither idempotent nor transactional: after a crash it must not be called twice (promise 2).
    """
    return not step.idempotent and not step.transactional


def start_mark(saga: Saga, history: History) -> bool | None:
    """Return the value of the column `action_started` before the next attempt.

    False if the next attempt is an action whose start must be recorded. None if nothing will be recorded.
    """
    attempt = in_flight(saga, history)
    marked = attempt is not None and attempt.direction is Direction.ACTION and needs_start_mark(attempt.step)
    return False if marked else None


def current_step(saga: Saga, history: History) -> str:
    """Return the name of the planned step that runs, comes next or blocks the others; "" if all are over."""
    facts = facts_of(history)
    for place, name in enumerate(history.plan):
        if not facts[name].done and not _passed_by(saga, facts, history.plan, place):
            return name
    return ""


def is_deferred(history: History, step: SagaStep) -> bool:
    """Return whether the step's compensation has spent its retries and is retried only until its patience ends."""
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
    """Return whether a later step was tried after this optional step.

    If so, a fresh retry budget does not make the saga return to the optional step.
    """
    later_tried = (Direction.ACTION in facts[name].last for name in plan[place + 1 :])
    return _step(saga, plan[place]).optional and any(later_tried)


def _verify_at(step: SagaStep, facts: StepFacts) -> dt.datetime | None:
    """Return when the provider may be asked; None = at once.

    The request of the attempt in doubt can still arrive until one timeout after that attempt's deadline.
    """
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
    """Return the move for the deferred compensation with the earliest retry time.

    The order depends on the history only, so `in_flight` chooses the same compensation.
    """
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
    """Return the step as it is defined today.

    A step that is no longer defined gets a placeholder, which only `in_flight` uses.
    """
    return saga.step(name) or SagaStep(name, action=_missing, compensation=_missing)


def _missing(context: StepContext) -> None:
    raise LookupError(f"step {context.step!r} is no longer defined")
