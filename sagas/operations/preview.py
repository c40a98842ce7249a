"""What an act would do: a sentence, and the calls it would make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from django.utils.translation import gettext

from sagas.definition.states import TERMINAL, Direction, Outcome, Resolution, SagaState
from sagas.engine import planner
from sagas.engine.history import History, PastAttempt, in_doubt, key_of, retried
from sagas.engine.planner import Attempt, Move
from sagas.models.clock import CLOCK

from .base import Call, Operation, Situation
from .resolution_effects import undos

Told = tuple[str, list[Call]]


def _preview_retry(situation: Situation) -> Told:
    if situation.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Tries again to undo what is not undone."), _undo_calls(_as_retried(situation))
    history = next_run(situation)
    steps = [Call(name, Direction.ACTION, key_of(history, name, Direction.ACTION)) for name in history.plan]
    sentence = gettext("Starts run %(run)d from the first step, with new idempotency keys.")
    return sentence % {"run": history.run}, steps


def _preview_cancel(situation: Situation) -> Told:
    calls = _undo_calls(situation.rolling())
    running = _running(situation)
    if running and running not in calls:
        calls.insert(0, running)
    return gettext("Stops it, and undoes what was done."), calls


def _preview_compensate(situation: Situation) -> Told:
    return gettext("Undoes all that was done, last step first."), _undo_calls(situation.rolling())


def _preview_hold(situation: Situation) -> Told:
    if situation.execution.leased:
        return gettext(
            "It stops as soon as the step under way has ended; "
            "nothing is undone, and nothing goes on until somebody releases it."
        ), []
    return gettext("It stops now; nothing is undone, and nothing goes on until somebody releases it."), []


def _preview_release(situation: Situation) -> Told:
    saga, history = situation.saga, released(situation)
    move = planner.next_move(saga, history, planner.FOREVER) if saga else None
    calls = [Call(move.step.name, move.direction, move.key)] if isinstance(move, Attempt) else []
    return gettext("Goes on from where it stands, with a fresh budget of retries and the same idempotency keys."), calls


def _preview_verify(situation: Situation) -> Told:
    key = key_of
    names = in_doubt(situation.history)
    steps = [step for step in situation.saga or () if step.verify and step.name in names]
    calls = [Call(s.name, Direction.VERIFY, key(situation.history, s.name, Direction.VERIFY)) for s in steps]
    return gettext("Asks the providers what really happened; changes nothing there."), calls


def _preview_resolve(_: Situation) -> Told:
    return gettext("Puts down, with your evidence, what has become of the step; no provider is called for it."), []


def _preview_acknowledge(_: Situation) -> Told:
    return gettext("Takes it off the list of those that need attention; nothing else changes."), []


def _preview_correct(situation: Situation) -> Told:
    if situation.state is SagaState.FAILED:
        return gettext("The input is replaced, and counts when it is tried again."), []
    return gettext("The input is replaced, and counts once it is released."), []


PREVIEWS: dict[Operation, Callable[[Situation], Told]] = {
    Operation.RETRY: _preview_retry,
    Operation.CANCEL: _preview_cancel,
    Operation.COMPENSATE: _preview_compensate,
    Operation.HOLD: _preview_hold,
    Operation.RELEASE: _preview_release,
    Operation.VERIFY: _preview_verify,
    Operation.RESOLVE: _preview_resolve,
    Operation.ACKNOWLEDGE: _preview_acknowledge,
    Operation.CORRECT: _preview_correct,
}


def next_run(situation: Situation) -> History:
    """An empty history for the run after this one, with today's steps."""
    plan = situation.saga.names if situation.saga else situation.history.plan
    return History(situation.history.saga_id, situation.history.run + 1, SagaState.PENDING, plan)


def released(situation: Situation) -> History:
    """The history that a release leaves behind: with a fresh budget, unless no step was the cause of the hold."""
    if situation.cause_of_hold == "on_change":
        return situation.history
    return dataclasses.replace(situation.history, budget_since=situation.execution.version + 1)


def with_resolution(situation: Situation, step: str, word: Resolution) -> History:
    """The history with a person's word on the step."""
    version, now = situation.execution.version + 1, CLOCK.by_host()
    outcome = Outcome.FAILED if word is Resolution.NOT_DONE else Outcome.SUCCEEDED
    past = PastAttempt(version, step, Direction.RESOLVED, 1, outcome, "", now, now, resolution=word)
    return situation.history.with_attempt(past)


def move_after_resolution(situation: Situation, history: History) -> Move | None:
    """What comes next once a person's word has led to this history; None where a word does not end the hold."""
    if situation.saga is None or situation.state in TERMINAL or situation.cause_of_hold != "engine":
        return None
    return planner.next_move(situation.saga, history, CLOCK.by_host())


def _running(situation: Situation) -> Call | None:
    """The undo of the action that a worker is about, which will have happened, or may have, when the cancel comes."""
    execution, history = situation.execution, situation.history
    attempt = planner.in_flight(situation.saga, history) if situation.saga and execution.leased else None
    if attempt is None or attempt.direction is not Direction.ACTION or attempt.step.compensation is None:
        return None
    name = attempt.step.name
    return Call(name, Direction.COMPENSATION, key_of(history, name, Direction.COMPENSATION))


def _as_retried(situation: Situation) -> Situation:
    version = situation.execution.version + 1
    history = retried(situation.history, version)
    return Situation(situation.execution, history, situation.saga)


def _undo_calls(situation: Situation) -> list[Call]:
    return undos(situation.saga, situation.history) if situation.saga else []
