"""What follows the calls of an act: what the workers go on with, as far as anybody can tell before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sagas.definition.saga import Saga
from sagas.definition.states import UNFINISHED, Direction, Ending, Outcome
from sagas.engine import planner
from sagas.engine.history import History, PastAttempt, facts_of, key_of, past_pivot, roll_back
from sagas.engine.planner import Attempt, RollBack
from sagas.models.clock import CLOCK

from .base import Call, Operation


@dataclass(frozen=True)
class Following:
    """Calls that follow: `surely`, if all goes well, and `perhaps`, as a provider answers."""

    surely: Sequence[Call] = ()
    possible: Sequence[Call] = ()


def what_follows(operation: Operation, calls: Sequence[Call], saga: Saga | None, history: History) -> Following:
    """What follows these calls of the act: what is released does not stop at the first, nor what a check sets going."""
    if saga is None or not calls:
        return Following()
    if operation is Operation.RELEASE:
        later = _after(calls[0], saga, history)
        return Following(possible=later) if calls[0].direction is Direction.VERIFY else Following(surely=later)
    if operation is Operation.VERIFY and history.state in UNFINISHED:
        return _after_answers(saga, history, {call.step for call in calls})
    return Following()


def undos(saga: Saga, history: History) -> list[Call]:
    """The undos that are open, in their order."""
    names, undo = planner.remaining(saga, history), Direction.COMPENSATION
    return [Call(name, undo, key_of(history, name, undo)) for name in names]


def _after_answers(saga: Saga, history: History, asked: Collection[str]) -> Following:
    """What follows whether the providers know of the steps, do not, or cannot tell."""
    answered = [_answered(history, asked, outcome) for outcome in (Outcome.SUCCEEDED, Outcome.FAILED)]
    ways = [_way_on(saga, way) for way in (history, *answered)]
    calls = list(dict.fromkeys(call for way in ways for call in way))
    surely = [call for call in calls if all(call in way for way in ways)]
    return Following(surely, [call for call in calls if call not in surely])


def _answered(history: History, asked: Collection[str], outcome: Outcome) -> History:
    """The history with this answer about each of the steps."""
    sequence = 1 + max(history.budget_since, *(past.sequence for past in history.attempts))
    ending = Ending.SPENT if outcome is Outcome.FAILED else Ending.NONE
    now = CLOCK.by_host()
    for step in asked:
        history = history.with_attempt(
            PastAttempt(sequence, step, Direction.VERIFY, 1, outcome, "", now, now, ending=ending)
        )
    return history


def _way_on(saga: Saga, history: History) -> list[Call]:
    """All that is called from here on, if all goes well; what asks once more is no news."""
    move = planner.next_move(saga, history, planner.FOREVER)
    if isinstance(move, RollBack):
        return undos(saga, roll_back(history, move.failed_step))
    if not isinstance(move, Attempt):
        return []
    first = Call(move.step.name, move.direction, move.key)
    later = _after(first, saga, history)
    return later if first.direction is Direction.VERIFY else [first, *later]


def _after(first: Call, saga: Saga, history: History) -> list[Call]:
    """What comes after this call, if all goes well; after a question, whatever its answer is."""
    if first.direction is Direction.COMPENSATION:
        return [call for call in undos(saga, history) if call.step != first.step]
    views = facts_of(history)
    later = [name for name in history.plan[history.plan.index(first.step) + 1 :] if not views[name].done]
    steps = [Call(name, Direction.ACTION, key_of(history, name, Direction.ACTION)) for name in later]
    asked = saga.step(first.step) if first.direction is Direction.VERIFY else None
    if asked is None or asked.optional or past_pivot(saga, history):
        return steps
    return steps + undos(saga, roll_back(history, first.step))
