"""Why an act is not possible, a sentence each; "" = it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext

from sagas.definition.states import UNFINISHED, Direction, Resolution, SagaState
from sagas.engine import history, planner
from sagas.presentation.execution_view import ExecutionView

from .base import Operation


def _why_not_retry(view: ExecutionView) -> str:
    if view.state not in (SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED):
        return gettext("only what has failed can be tried again, and this is “%(state)s”.") % _state_of(view)
    return _why_no_definition(view) or _why_busy(view)


def _why_not_cancel(view: ExecutionView) -> str:
    execution = view.execution
    if view.state not in (SagaState.PENDING, SagaState.IN_PROGRESS):
        return gettext("its state is “%(state)s”.") % _state_of(view)
    if execution.pivot_reached:
        return gettext("its point of no return is being passed, or is behind it.")
    if execution.pending_request == "cancel":
        return gettext("it is being cancelled already.")
    return _why_no_definition(view)


def _why_not_compensate(view: ExecutionView) -> str:
    if view.state is not SagaState.SUCCEEDED:
        return gettext("only what has succeeded can be undone as a whole, and this is “%(state)s”.") % _state_of(view)
    if missing := _why_no_definition(view):
        return missing
    if view.execution.pivot_reached:
        return gettext("its point of no return is behind it.")
    if not view.remaining:
        return gettext("none of its steps has an undo.")
    return _why_busy(view)


def _why_not_hold(view: ExecutionView) -> str:
    if view.state not in UNFINISHED:
        return gettext("its state is “%(state)s”.") % _state_of(view)
    if view.execution.held:
        return gettext("it is held already.")
    if view.execution.pending_request in ("hold", "cancel"):
        return gettext("it is about to be held or cancelled already.")
    return ""


def _why_not_release(view: ExecutionView) -> str:
    return "" if view.execution.held else gettext("it is not held.")


def _why_not_verify(view: ExecutionView) -> str:
    if missing := _why_no_definition(view):
        return missing
    steps = [view.saga.step(name) for name in history.in_doubt(view.history)] if view.saga else []
    if not any(step and step.verify for step in steps):
        return gettext("no step is in doubt that its provider can be asked about.")
    if view.execution.held and view.hold_cause == "operator":
        return gettext("it is held; release it first.")
    return _why_busy(view)


def _why_not_resolve(view: ExecutionView) -> str:
    if not view.execution.held and view.state is not SagaState.PARTIALLY_COMPENSATED:
        return gettext("a step can be resolved by hand only while the case is held or partly undone.")
    return _why_no_definition(view) or _why_busy(view)


def _why_not_acknowledge(view: ExecutionView) -> str:
    if view.state is not SagaState.FAILED:
        return gettext("only what has failed can be acknowledged, and this is “%(state)s”.") % _state_of(view)
    return "" if view.execution.needs_attention else gettext("it does not need attention.")


def _why_not_correct(view: ExecutionView) -> str:
    if view.state is not SagaState.FAILED and not _held_before_any_attempt(view):
        return gettext(
            "its input can be corrected once it has failed, or while it is held and its current step is untried."
        )
    return _why_no_definition(view) or _why_busy(view)


def _why_busy(view: ExecutionView) -> str:
    if view.execution.leased and view.execution.held:
        return gettext(
            "the system broke down in the middle of it, and what became of that is not put down yet; release it first."
        )
    if view.execution.leased or view.execution.pending_request:
        return gettext("it is being worked on right now; wait for that to end.")
    return ""


def _why_no_definition(view: ExecutionView) -> str:
    if view.saga is None:
        return gettext("no saga named '%(saga)s' is registered here.") % {"saga": view.execution.saga_name}
    return ""


def why_not_resolve_step(view: ExecutionView, step: str, outcome: Resolution | str, **_: Any) -> str:
    """Why this word on this step cannot be taken, "" when it can."""
    try:
        resolution = Resolution(outcome)
    except ValueError:
        known = {"known": ", ".join(Resolution), "outcome": outcome}
        return gettext("outcome must be one of %(known)s, not '%(outcome)s'.") % known
    if step not in view.history.plan:
        planned = {"step": step, "steps": ", ".join(view.history.plan)}
        return gettext("it has no step '%(step)s'; its steps are %(steps)s.") % planned
    facts = history.facts_of(view.history)[step]
    if view.state not in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED):
        return _why_not_resolve_forward(view, step, resolution, in_doubt=facts.in_doubt)
    return "" if facts.to_compensate else gettext("step '%(step)s' has nothing to be undone.") % {"step": step}


def _why_not_resolve_forward(view: ExecutionView, step: str, resolution: Resolution, *, in_doubt: bool) -> str:
    if resolution is Resolution.UNDONE:
        return gettext("nothing is being undone; say done or not_done.")
    current_step = planner.current_step(view.saga, view.history) if view.saga else ""
    if in_doubt or step == current_step:
        return ""
    steps = {"at": current_step, "step": step}
    return gettext("it stands at step '%(at)s', and step '%(step)s' is not in doubt.") % steps


GUARDS: dict[Operation, Callable[[ExecutionView], str]] = {
    Operation.RETRY: _why_not_retry,
    Operation.CANCEL: _why_not_cancel,
    Operation.COMPENSATE: _why_not_compensate,
    Operation.HOLD: _why_not_hold,
    Operation.RELEASE: _why_not_release,
    Operation.VERIFY: _why_not_verify,
    Operation.RESOLVE: _why_not_resolve,
    Operation.ACKNOWLEDGE: _why_not_acknowledge,
    Operation.CORRECT: _why_not_correct,
}


def _held_before_any_attempt(view: ExecutionView) -> bool:
    before_the_end = (SagaState.PENDING, SagaState.IN_PROGRESS)
    if not view.execution.held or view.saga is None or view.state not in before_the_end:
        return False
    attempt = planner.in_flight(view.saga, view.history)
    return attempt is not None and attempt.direction is Direction.ACTION and attempt.number == 1


def _state_of(view: ExecutionView) -> dict[str, str]:
    return {"state": str(view.execution.get_state_display())}
