"""How an attempt that has ended goes into the books: what it costs of its budget, and when the next may start."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from .definition import SagaStep
from .histories import History, View, aside_since, settled_at, views_of
from .outcomes import Ended
from .planner import Attempt
from .states import Direction, Ending, Outcome

SHORTEST_TIME_ASIDE = 1.0


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


def _judge_verify(view: View, attempt: Attempt, ended: Ended, now: dt.datetime, luck: float) -> Verdict:
    if ended.outcome is Outcome.FAILED and ended.error is None:
        return _judge_ruled_out(view, attempt, now)
    spent = view.spent.get(Direction.VERIFY, 0) + 1
    if spent > attempt.step.retry_count:
        return Verdict(Outcome.UNCERTAIN, Ending.SPENT)
    return Verdict(Outcome.UNCERTAIN, retry_at=_after(attempt.step, ended, spent, now, luck))


def _judge_ruled_out(view: View, attempt: Attempt, now: dt.datetime) -> Verdict:
    """It did not happen; said too early, while its request may be on its way, that is worth nothing."""
    settled = settled_at(attempt.step, view.doubted) if view.doubted else now
    if now < settled:
        return Verdict(Outcome.UNCERTAIN, retry_at=settled)
    return Verdict(Outcome.FAILED, Ending.SPENT)


def _judge_pending(view: View, attempt: Attempt, ended: Ended, started_at: dt.datetime, now: dt.datetime) -> Verdict:
    since = view.pending_since.get(attempt.direction, started_at)
    end = since + dt.timedelta(seconds=attempt.step.patience)
    if now >= end:
        return Verdict(Outcome.UNCERTAIN, Ending.IMPATIENT)
    wait = ended.after or 0.0
    if attempt.direction is Direction.COMPENSATION and aside_since(attempt.step, view):
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
    since = aside_since(attempt.step, view) or now
    end = since + dt.timedelta(seconds=patience)
    if not undecided or now >= end:
        return Verdict(ended.outcome, Ending.SPENT)
    wait = max(ended.after or 0.0, attempt.step.max_delay, SHORTEST_TIME_ASIDE)
    return Verdict(ended.outcome, retry_at=min(now + dt.timedelta(seconds=wait), end))


def _after(step: SagaStep, ended: Ended, retry: int, now: dt.datetime, luck: float) -> dt.datetime:
    seconds = step.delay(retry, luck) if ended.after is None else max(0.0, ended.after)
    return now + dt.timedelta(seconds=seconds)
