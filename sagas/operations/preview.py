"""Preview an operation: a sentence, the calls of the operation, and the calls that follow. Nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import UNFINISHED, Direction, Ending, Outcome, SagaState
from sagas.engine import planner
from sagas.engine.history import History, PastAttempt, key_of, past_pivot, retried, roll_back
from sagas.engine.planner import Attempt, RollBack
from sagas.models.clock import CLOCK
from sagas.presentation.execution_view import ExecutionView

from .operation import Call, Operation, Preview

# The sentence of each operation. `_sentence` has the exceptions for certain states.
SENTENCES = {
    Operation.RETRY: _("Retries what could not be undone."),
    Operation.CANCEL: _("Stops it and undoes what was done."),
    Operation.COMPENSATE: _("Undoes everything that was done, last step first."),
    Operation.HOLD: _("Stops it now. Nothing is undone; nothing goes on until it is released."),
    Operation.RELEASE: _("Goes on where it stopped, with a fresh retry budget and the same idempotency keys."),
    Operation.VERIFY: _("Asks the providers what really happened, and changes nothing there."),
    Operation.RESOLVE: _("Records what really happened to a step, with evidence. No provider is called for it."),
    Operation.ACKNOWLEDGE: _("Removes it from the list of cases that need attention. Nothing else changes."),
    Operation.CORRECT: _("Replaces the input. It is used after the release."),
}


@dataclass(frozen=True)
class Consequences:
    """Calls that follow the calls of an operation.

    `certain` calls follow if no call fails. `possible` calls depend on the answer of a provider.
    """

    certain: Sequence[Call] = ()
    possible: Sequence[Call] = ()


def preview_of(operation: Operation, view: ExecutionView) -> Preview:
    """Return the preview of the operation."""
    calls = _calls(operation, view)
    kept = () if starts_over(operation, view) else view.execution.steps_completed
    not_repeated = tuple(name for name in kept if name not in {call.step for call in calls})
    return Preview(
        operation,
        view.execution.saga_id,
        view.execution.version,
        _sentence(operation, view),
        tuple(calls),
        not_repeated,
        tuple(view.in_doubt),
    )


def consequences(operation: Operation, calls: Sequence[Call], view: ExecutionView) -> Consequences:
    """Return the calls that follow `calls`. Only a release and a verify have further calls."""
    if view.saga is None or not calls:
        return Consequences()
    if operation is Operation.RELEASE:
        later = _after(calls[0], view)
        return Consequences(possible=later) if calls[0].direction is Direction.VERIFY else Consequences(later)
    if operation is Operation.VERIFY and view.state in UNFINISHED:
        return _after_answers(view, {call.step for call in calls})
    return Consequences()


def starts_over(operation: Operation, view: ExecutionView) -> bool:
    """Return whether the operation starts a new run. A new run has only the input, no outputs of steps."""
    return operation is Operation.RETRY and view.state is SagaState.FAILED


def next_run(view: ExecutionView) -> History:
    """Return the empty history of the next run. Its plan has the steps of the current definition."""
    plan = view.saga.names if view.saga else view.history.plan
    return History(view.history.saga_id, view.history.run + 1, SagaState.PENDING, plan)


def released(view: ExecutionView) -> History:
    """Return the history after a release. The retry budget starts again, unless `on_change` caused the hold."""
    if view.hold_cause == "on_change":
        return view.history
    return dataclasses.replace(view.history, budget_since=view.execution.version + 1)


def _sentence(operation: Operation, view: ExecutionView) -> str:
    if operation is Operation.RETRY and view.state is not SagaState.PARTIALLY_COMPENSATED:
        run = {"run": next_run(view).run}
        return gettext("Starts run %(run)d from the first step, with new idempotency keys.") % run
    if operation is Operation.HOLD and view.execution.leased:
        return gettext("Stops it after the current step. Nothing is undone; nothing goes on until it is released.")
    if operation is Operation.CORRECT and view.state is SagaState.FAILED:
        return gettext("Replaces the input. The next retry uses it.")
    return str(SENTENCES[operation])


def _calls(operation: Operation, view: ExecutionView) -> list[Call]:
    """Return the calls of the operation itself, in order."""
    calls: list[Call] = []
    match operation:
        case Operation.RETRY if view.state is SagaState.PARTIALLY_COMPENSATED:
            calls = _compensations(view.with_history(retried(view.history, view.execution.version + 1)))
        case Operation.RETRY:
            run = next_run(view)
            calls = [_call(run, name, Direction.ACTION) for name in run.plan]
        case Operation.CANCEL:
            calls = _calls_of_cancel(view)
        case Operation.COMPENSATE:
            calls = _compensations(view.as_rolling_back())
        case Operation.RELEASE:
            move = planner.next_move(view.saga, released(view), planner.FOREVER) if view.saga else None
            calls = [Call(move.step.name, move.direction, move.key)] if isinstance(move, Attempt) else []
        case Operation.VERIFY:
            steps = [step.name for step in view.saga or () if step.verify and step.name in view.in_doubt]
            calls = [_call(view.history, name, Direction.VERIFY) for name in steps]
    return calls


def _calls_of_cancel(view: ExecutionView) -> list[Call]:
    """Return the compensations that a cancel would call.

    If a worker is calling an action now, include its compensation, because the action may succeed before the cancel.
    """
    calls = _compensations(view.as_rolling_back())
    attempt = view.next_attempt if view.execution.leased else None
    if attempt and attempt.direction is Direction.ACTION and attempt.step.compensation is not None:
        running = _call(view.history, attempt.step.name, Direction.COMPENSATION)
        if running not in calls:
            calls.insert(0, running)
    return calls


def _after_answers(view: ExecutionView, asked: Collection[str]) -> Consequences:
    """Return the calls that follow a verify of the steps in `asked`.

    The providers may confirm the effects, deny them, or not know. A call is certain if it follows in all three cases.
    """
    answered = [_answered(view.history, asked, outcome) for outcome in (Outcome.SUCCEEDED, Outcome.FAILED)]
    ways = [_way_on(view.with_history(history)) for history in (view.history, *answered)]
    calls = list(dict.fromkeys(call for way in ways for call in way))
    certain = [call for call in calls if all(call in way for way in ways)]
    return Consequences(certain, [call for call in calls if call not in certain])


def _answered(history: History, asked: Collection[str], outcome: Outcome) -> History:
    """Return the history with one more verify attempt for each step in `asked`, which had this outcome."""
    sequence = 1 + max(history.budget_since, *(past.sequence for past in history.attempts))
    ending = Ending.SPENT if outcome is Outcome.FAILED else Ending.NONE
    now = CLOCK.by_host()
    for step in asked:
        answer = PastAttempt(sequence, step, Direction.VERIFY, 1, outcome, "", now, now, ending=ending)
        history = history.with_attempt(answer)
    return history


def _way_on(view: ExecutionView) -> list[Call]:
    """Return the calls that remain, assuming that none fails. List a verify only once."""
    saga, history = view.saga, view.history
    move = planner.next_move(saga, history, planner.FOREVER) if saga else None
    if isinstance(move, RollBack):
        return _compensations(view.with_history(roll_back(history, move.failed_step)))
    if not isinstance(move, Attempt):
        return []
    first = Call(move.step.name, move.direction, move.key)
    later = _after(first, view)
    return later if first.direction is Direction.VERIFY else [first, *later]


def _after(first: Call, view: ExecutionView) -> list[Call]:
    """Return the calls after `first` if no call fails. After a verify, include the calls of both possible answers."""
    if first.direction is Direction.COMPENSATION:
        return [call for call in _compensations(view) if call.step != first.step]
    history, step = view.history, view.step(first.step)
    later = [name for name in history.plan[history.plan.index(first.step) + 1 :] if not view.facts[name].done]
    actions = [_call(history, name, Direction.ACTION) for name in later]
    if first.direction is not Direction.VERIFY or view.saga is None or step is None:
        return actions
    if step.optional or past_pivot(view.saga, history):
        return actions
    return actions + _compensations(view.with_history(roll_back(history, first.step)))


def _compensations(view: ExecutionView) -> list[Call]:
    """Return the calls of the open compensations, in order."""
    return [_call(view.history, name, Direction.COMPENSATION) for name in view.remaining]


def _call(history: History, step: str, direction: Direction) -> Call:
    return Call(step, direction, key_of(history, step, direction))
