"""How an attempt that has ended goes into the books: what it costs of its budget, and when the next may start."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sagas.definition.saga import SagaStep
from sagas.definition.states import Direction, Ending, Outcome

from .error_classification import Classification
from .history import History, StepFacts, deferred_since, facts_of, settled_at
from .planner import Attempt

SHORTEST_DEFERRAL = 1.0


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """How an attempt goes into the books, and when the next of its kind may start."""

    outcome: Outcome
    ending: Ending = Ending.NONE
    retry_at: dt.datetime | None = None


def decide(
    history: History,
    attempt: Attempt,
    ended: Classification,
    started_at: dt.datetime,
    now: dt.datetime,
    luck: float,
    patience: float,
) -> RetryDecision:
    """What an attempt that ended so means for the budget of its step.

    `luck` (0 to 1) spreads the delay, `patience` is COMPENSATION_PATIENCE in seconds.
    """
    view = facts_of(history)[attempt.step.name]
    if ended.outcome is Outcome.SUCCEEDED:
        return RetryDecision(Outcome.SUCCEEDED)
    if attempt.direction is Direction.VERIFY:
        return _decide_verify(view, attempt, ended, now, luck)
    if ended.outcome is Outcome.PENDING:
        return _decide_pending(view, attempt, ended, started_at, now)
    if ended.refused:
        return RetryDecision(Outcome.FAILED, Ending.REFUSED)
    if attempt.direction is Direction.COMPENSATION:
        return _decide_compensation(view, attempt, ended, now, luck, patience)
    return _decide_action(view, attempt, ended, now, luck)


def _decide_verify(
    view: StepFacts, attempt: Attempt, ended: Classification, now: dt.datetime, luck: float
) -> RetryDecision:
    if ended.outcome is Outcome.FAILED and ended.error is None:
        return _decide_ruled_out(view, attempt, now)
    spent = view.spent.get(Direction.VERIFY, 0) + 1
    if spent > attempt.step.retry_count:
        return RetryDecision(Outcome.UNCERTAIN, Ending.SPENT)
    return RetryDecision(Outcome.UNCERTAIN, retry_at=_after(attempt.step, ended, spent, now, luck))


def _decide_ruled_out(view: StepFacts, attempt: Attempt, now: dt.datetime) -> RetryDecision:
    """It did not happen; said too early, while its request may be on its way, that is worth nothing."""
    settled = settled_at(attempt.step, view.last_in_doubt) if view.last_in_doubt else now
    if now < settled:
        return RetryDecision(Outcome.UNCERTAIN, retry_at=settled)
    return RetryDecision(Outcome.FAILED, Ending.SPENT)


def _decide_pending(
    view: StepFacts, attempt: Attempt, ended: Classification, started_at: dt.datetime, now: dt.datetime
) -> RetryDecision:
    since = view.pending_since.get(attempt.direction, started_at)
    end = since + dt.timedelta(seconds=attempt.step.patience)
    if now >= end:
        return RetryDecision(Outcome.UNCERTAIN, Ending.IMPATIENT)
    wait = ended.after or 0.0
    if attempt.direction is Direction.COMPENSATION and deferred_since(attempt.step, view):
        wait = max(wait, attempt.step.max_delay, SHORTEST_DEFERRAL)
    return RetryDecision(Outcome.PENDING, retry_at=min(now + dt.timedelta(seconds=wait), end))


def _decide_action(
    view: StepFacts, attempt: Attempt, ended: Classification, now: dt.datetime, luck: float
) -> RetryDecision:
    spent = view.spent.get(Direction.ACTION, 0) + 1
    never_again = ended.outcome is Outcome.UNCERTAIN and not attempt.step.idempotent
    if spent > attempt.step.retry_count or never_again:
        return RetryDecision(ended.outcome, Ending.SPENT)
    return RetryDecision(ended.outcome, retry_at=_after(attempt.step, ended, spent, now, luck))


def _decide_compensation(
    view: StepFacts, attempt: Attempt, ended: Classification, now: dt.datetime, luck: float, patience: float
) -> RetryDecision:
    spent = view.spent.get(Direction.COMPENSATION, 0) + 1
    if spent <= attempt.step.effective_compensation_retry_count:
        retry_at = _after(attempt.step, ended, spent, now, luck)
        return RetryDecision(ended.outcome, retry_at=min(retry_at, now + dt.timedelta(seconds=patience)))
    undecided = ended.unavailable or ended.outcome is Outcome.UNCERTAIN or view.compensation_in_doubt
    since = deferred_since(attempt.step, view) or now
    end = since + dt.timedelta(seconds=patience)
    if not undecided or now >= end:
        return RetryDecision(ended.outcome, Ending.SPENT)
    wait = max(ended.after or 0.0, attempt.step.max_delay, SHORTEST_DEFERRAL)
    return RetryDecision(ended.outcome, retry_at=min(now + dt.timedelta(seconds=wait), end))


def _after(step: SagaStep, ended: Classification, retry: int, now: dt.datetime, luck: float) -> dt.datetime:
    seconds = step.delay(retry, luck) if ended.after is None else max(0.0, ended.after)
    return now + dt.timedelta(seconds=seconds)
