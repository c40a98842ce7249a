"""Decide what follows an attempt: its outcome, whether a retry follows, and when.

Promises: docs/GUARANTEES.md.
"""

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
    """The outcome to write, and the retry that follows.

    `ending` is the reason why no retry follows, NONE if one does. `retry_at` is when the next attempt of the same
    direction may start, None = at once.
    """

    outcome: Outcome
    ending: Ending = Ending.NONE
    retry_at: dt.datetime | None = None


def decide(
    history: History,
    attempt: Attempt,
    end: Classification,
    started_at: dt.datetime,
    now: dt.datetime,
    luck: float,
    patience: float,
) -> RetryDecision:
    """Decide the outcome and the retry of an attempt that has just ended (promise 4).

    `history` does not contain the attempt yet. `end` is its classification. The attempt lasted from `started_at` to
    `now`. `luck` (0 to 1) spreads the delays of retries. `patience` is COMPENSATION_PATIENCE in seconds: how long a
    compensation is retried after it has spent its retries.
    """
    facts = facts_of(history)[attempt.step.name]
    if end.outcome is Outcome.SUCCEEDED:
        return RetryDecision(Outcome.SUCCEEDED)
    if attempt.direction is Direction.VERIFY:
        return _decide_verify(facts, attempt, end, now, luck)
    if end.outcome is Outcome.PENDING:
        return _decide_pending(facts, attempt, end, started_at, now)
    if end.refused:
        return RetryDecision(Outcome.FAILED, Ending.REFUSED)
    if attempt.direction is Direction.COMPENSATION:
        return _decide_compensation(facts, attempt, end, now, luck, patience)
    return _decide_action(facts, attempt, end, now, luck)


def _decide_verify(
    facts: StepFacts, attempt: Attempt, end: Classification, now: dt.datetime, luck: float
) -> RetryDecision:
    if end.outcome is Outcome.FAILED and end.error is None:
        # The request can still be on its way and take effect later: ask again once it cannot arrive any more.
        settled = settled_at(attempt.step, facts.last_in_doubt) if facts.last_in_doubt else now
        if now < settled:
            return RetryDecision(Outcome.UNCERTAIN, retry_at=settled)
        return RetryDecision(Outcome.FAILED, Ending.SPENT)
    spent = facts.spent.get(Direction.VERIFY, 0) + 1
    if spent > attempt.step.retry_count:
        return RetryDecision(Outcome.UNCERTAIN, Ending.SPENT)
    return RetryDecision(Outcome.UNCERTAIN, retry_at=_after(attempt.step, end, spent, now, luck))


def _decide_pending(
    facts: StepFacts, attempt: Attempt, end: Classification, started_at: dt.datetime, now: dt.datetime
) -> RetryDecision:
    since = facts.pending_since.get(attempt.direction, started_at)
    deadline = since + dt.timedelta(seconds=attempt.step.patience)
    if now >= deadline:
        return RetryDecision(Outcome.UNCERTAIN, Ending.IMPATIENT)
    wait = end.after or 0.0
    if attempt.direction is Direction.COMPENSATION and deferred_since(attempt.step, facts):
        wait = max(wait, attempt.step.max_delay, SHORTEST_DEFERRAL)
    return RetryDecision(Outcome.PENDING, retry_at=min(now + dt.timedelta(seconds=wait), deadline))


def _decide_action(
    facts: StepFacts, attempt: Attempt, end: Classification, now: dt.datetime, luck: float
) -> RetryDecision:
    spent = facts.spent.get(Direction.ACTION, 0) + 1
    never_again = end.outcome is Outcome.UNCERTAIN and not attempt.step.idempotent
    if spent > attempt.step.retry_count or never_again:
        return RetryDecision(end.outcome, Ending.SPENT)
    return RetryDecision(end.outcome, retry_at=_after(attempt.step, end, spent, now, luck))


def _decide_compensation(
    facts: StepFacts, attempt: Attempt, end: Classification, now: dt.datetime, luck: float, patience: float
) -> RetryDecision:
    spent = facts.spent.get(Direction.COMPENSATION, 0) + 1
    if spent <= attempt.step.effective_compensation_retry_count:
        retry_at = _after(attempt.step, end, spent, now, luck)
        return RetryDecision(end.outcome, retry_at=min(retry_at, now + dt.timedelta(seconds=patience)))
    undecided = end.unavailable or end.outcome is Outcome.UNCERTAIN or facts.compensation_in_doubt
    since = deferred_since(attempt.step, facts) or now
    deadline = since + dt.timedelta(seconds=patience)
    if not undecided or now >= deadline:
        return RetryDecision(end.outcome, Ending.SPENT)
    wait = max(end.after or 0.0, attempt.step.max_delay, SHORTEST_DEFERRAL)
    return RetryDecision(end.outcome, retry_at=min(now + dt.timedelta(seconds=wait), deadline))


def _after(step: SagaStep, end: Classification, retry: int, now: dt.datetime, luck: float) -> dt.datetime:
    seconds = step.delay(retry, luck) if end.after is None else max(0.0, end.after)
    return now + dt.timedelta(seconds=seconds)
