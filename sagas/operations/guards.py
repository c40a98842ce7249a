"""Why an act is not possible, a sentence each; "" = it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext

from sagas.definition.states import UNFINISHED, Direction, Resolution, SagaState
from sagas.engine import history, planner

from .base import Operation, Situation


def _why_not_retry(situation: Situation) -> str:
    if situation.state not in (SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED):
        return gettext("only what has failed can be tried again, and this is “%(state)s”.") % _state_of(situation)
    return _why_no_definition(situation) or _why_busy(situation)


def _why_not_cancel(situation: Situation) -> str:
    execution = situation.execution
    if situation.state not in (SagaState.PENDING, SagaState.IN_PROGRESS):
        return gettext("its state is “%(state)s”.") % _state_of(situation)
    if execution.pivot_reached:
        return gettext("its point of no return is being passed, or is behind it.")
    if execution.pending_request == "cancel":
        return gettext("it is being cancelled already.")
    return _why_no_definition(situation)


def _why_not_compensate(situation: Situation) -> str:
    if situation.state is not SagaState.SUCCEEDED:
        return gettext("only what has succeeded can be undone as a whole, and this is “%(state)s”.") % _state_of(
            situation
        )
    if missing := _why_no_definition(situation):
        return missing
    if situation.execution.pivot_reached:
        return gettext("its point of no return is behind it.")
    if not situation.remaining:
        return gettext("none of its steps has an undo.")
    return _why_busy(situation)


def _why_not_hold(situation: Situation) -> str:
    if situation.state not in UNFINISHED:
        return gettext("its state is “%(state)s”.") % _state_of(situation)
    if situation.execution.held:
        return gettext("it is held already.")
    if situation.execution.pending_request in ("hold", "cancel"):
        return gettext("it is about to be held or cancelled already.")
    return ""


def _why_not_release(situation: Situation) -> str:
    return "" if situation.execution.held else gettext("it is not held.")


def _why_not_verify(situation: Situation) -> str:
    if missing := _why_no_definition(situation):
        return missing
    steps = [situation.saga.step(name) for name in history.in_doubt(situation.history)] if situation.saga else []
    if not any(step and step.verify for step in steps):
        return gettext("no step is in doubt that its provider can be asked about.")
    if situation.execution.held and situation.cause_of_hold == "operator":
        return gettext("it is held; release it first.")
    return _why_busy(situation)


def _why_not_resolve(situation: Situation) -> str:
    if not situation.execution.held and situation.state is not SagaState.PARTIALLY_COMPENSATED:
        return gettext("a step can be resolved by hand only while the case is held or partly undone.")
    return _why_no_definition(situation) or _why_busy(situation)


def _why_not_acknowledge(situation: Situation) -> str:
    if situation.state is not SagaState.FAILED:
        return gettext("only what has failed can be acknowledged, and this is “%(state)s”.") % _state_of(situation)
    return "" if situation.execution.needs_attention else gettext("it does not need attention.")


def _why_not_correct(situation: Situation) -> str:
    if situation.state is not SagaState.FAILED and not _held_before_any_attempt(situation):
        return gettext(
            "its input can be corrected once it has failed, or while it is held and its current step is untried."
        )
    return _why_no_definition(situation) or _why_busy(situation)


def _why_busy(situation: Situation) -> str:
    if situation.execution.leased and situation.execution.held:
        return gettext(
            "the system broke down in the middle of it, and what became of that is not put down yet; release it first."
        )
    if situation.execution.leased or situation.execution.pending_request:
        return gettext("it is being worked on right now; wait for that to end.")
    return ""


def _why_no_definition(situation: Situation) -> str:
    if situation.saga is None:
        return gettext("no saga named '%(saga)s' is registered here.") % {"saga": situation.execution.saga_name}
    return ""


def why_not_resolve_step(situation: Situation, step: str, outcome: Resolution | str, **_: Any) -> str:
    """Why this word on this step cannot be taken, "" when it can."""
    try:
        resolution = Resolution(outcome)
    except ValueError:
        known = {"known": ", ".join(Resolution), "outcome": outcome}
        return gettext("outcome must be one of %(known)s, not '%(outcome)s'.") % known
    if step not in situation.history.plan:
        planned = {"step": step, "steps": ", ".join(situation.history.plan)}
        return gettext("it has no step '%(step)s'; its steps are %(steps)s.") % planned
    view = history.facts_of(situation.history)[step]
    if situation.state not in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED):
        return _why_not_resolve_forward(situation, step, resolution, in_doubt=view.in_doubt)
    return "" if view.to_compensate else gettext("step '%(step)s' has nothing to be undone.") % {"step": step}


def _why_not_resolve_forward(situation: Situation, step: str, resolution: Resolution, *, in_doubt: bool) -> str:
    if resolution is Resolution.UNDONE:
        return gettext("nothing is being undone; say done or not_done.")
    current_step = planner.current_step(situation.saga, situation.history) if situation.saga else ""
    if in_doubt or step == current_step:
        return ""
    steps = {"at": current_step, "step": step}
    return gettext("it stands at step '%(at)s', and step '%(step)s' is not in doubt.") % steps


GUARDS: dict[Operation, Callable[[Situation], str]] = {
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


def _held_before_any_attempt(situation: Situation) -> bool:
    before_the_end = (SagaState.PENDING, SagaState.IN_PROGRESS)
    if not situation.execution.held or situation.saga is None or situation.state not in before_the_end:
        return False
    attempt = planner.in_flight(situation.saga, situation.history)
    return attempt is not None and attempt.direction is Direction.ACTION and attempt.number == 1


def _state_of(situation: Situation) -> dict[str, str]:
    return {"state": str(situation.execution.get_state_display())}
