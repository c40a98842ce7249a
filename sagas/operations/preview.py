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
from sagas.presentation.execution_view import ExecutionView

from .base import Call, Operation
from .resolution_effects import undos

Told = tuple[str, list[Call]]


def _preview_retry(view: ExecutionView) -> Told:
    if view.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Tries again to undo what is not undone."), _undo_calls(_as_retried(view))
    history = next_run(view)
    steps = [Call(name, Direction.ACTION, key_of(history, name, Direction.ACTION)) for name in history.plan]
    sentence = gettext("Starts run %(run)d from the first step, with new idempotency keys.")
    return sentence % {"run": history.run}, steps


def _preview_cancel(view: ExecutionView) -> Told:
    calls = _undo_calls(view.as_rolling_back())
    running = _running(view)
    if running and running not in calls:
        calls.insert(0, running)
    return gettext("Stops it, and undoes what was done."), calls


def _preview_compensate(view: ExecutionView) -> Told:
    return gettext("Undoes all that was done, last step first."), _undo_calls(view.as_rolling_back())


def _preview_hold(view: ExecutionView) -> Told:
    if view.execution.leased:
        return gettext(
            "It stops as soon as the step under way has ended; "
            "nothing is undone, and nothing goes on until somebody releases it."
        ), []
    return gettext("It stops now; nothing is undone, and nothing goes on until somebody releases it."), []


def _preview_release(view: ExecutionView) -> Told:
    saga, history = view.saga, released(view)
    move = planner.next_move(saga, history, planner.FOREVER) if saga else None
    calls = [Call(move.step.name, move.direction, move.key)] if isinstance(move, Attempt) else []
    return gettext("Goes on from where it stands, with a fresh budget of retries and the same idempotency keys."), calls


def _preview_verify(view: ExecutionView) -> Told:
    key = key_of
    names = in_doubt(view.history)
    steps = [step for step in view.saga or () if step.verify and step.name in names]
    calls = [Call(s.name, Direction.VERIFY, key(view.history, s.name, Direction.VERIFY)) for s in steps]
    return gettext("Asks the providers what really happened; changes nothing there."), calls


def _preview_resolve(_: ExecutionView) -> Told:
    return gettext("Puts down, with your evidence, what has become of the step; no provider is called for it."), []


def _preview_acknowledge(_: ExecutionView) -> Told:
    return gettext("Takes it off the list of those that need attention; nothing else changes."), []


def _preview_correct(view: ExecutionView) -> Told:
    if view.state is SagaState.FAILED:
        return gettext("The input is replaced, and counts when it is tried again."), []
    return gettext("The input is replaced, and counts once it is released."), []


PREVIEWS: dict[Operation, Callable[[ExecutionView], Told]] = {
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


def next_run(view: ExecutionView) -> History:
    """An empty history for the run after this one, with today's steps."""
    plan = view.saga.names if view.saga else view.history.plan
    return History(view.history.saga_id, view.history.run + 1, SagaState.PENDING, plan)


def released(view: ExecutionView) -> History:
    """The history that a release leaves behind: with a fresh budget, unless no step was the cause of the hold."""
    if view.hold_cause == "on_change":
        return view.history
    return dataclasses.replace(view.history, budget_since=view.execution.version + 1)


def with_resolution(view: ExecutionView, step: str, word: Resolution) -> History:
    """The history with a person's word on the step."""
    version, now = view.execution.version + 1, CLOCK.by_host()
    outcome = Outcome.FAILED if word is Resolution.NOT_DONE else Outcome.SUCCEEDED
    past = PastAttempt(version, step, Direction.RESOLVED, 1, outcome, "", now, now, resolution=word)
    return view.history.with_attempt(past)


def move_after_resolution(view: ExecutionView, history: History) -> Move | None:
    """What comes next once a person's word has led to this history; None where a word does not end the hold."""
    if view.saga is None or view.state in TERMINAL or view.hold_cause != "engine":
        return None
    return planner.next_move(view.saga, history, CLOCK.by_host())


def _running(view: ExecutionView) -> Call | None:
    """The undo of the action that a worker is about, which will have happened, or may have, when the cancel comes."""
    execution, history = view.execution, view.history
    attempt = planner.in_flight(view.saga, history) if view.saga and execution.leased else None
    if attempt is None or attempt.direction is not Direction.ACTION or attempt.step.compensation is None:
        return None
    name = attempt.step.name
    return Call(name, Direction.COMPENSATION, key_of(history, name, Direction.COMPENSATION))


def _as_retried(view: ExecutionView) -> ExecutionView:
    version = view.execution.version + 1
    history = retried(view.history, version)
    return view.with_history(history)


def _undo_calls(view: ExecutionView) -> list[Call]:
    return undos(view.saga, view.history) if view.saga else []
