"""Why an act is not possible, a sentence each; "" = it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagas import histories, planner
from sagas.states import UNFINISHED, Direction, Resolution, SagaState

from .situation import Act, Situation


def _why_not_retry(situation: Situation) -> str:
    if situation.state not in (SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED):
        return f"only a failed saga can be retried, and this one is {_words(situation.state)}."
    return _why_no_definition(situation) or _why_busy(situation)


def _why_not_cancel(situation: Situation) -> str:
    execution = situation.execution
    if situation.state not in (SagaState.PENDING, SagaState.IN_PROGRESS):
        return f"it is {_words(situation.state)}."
    if execution.pivoting:
        return "its point of no return is being passed, or is behind it."
    if execution.wants == "cancel":
        return "it is being cancelled already."
    return _why_no_definition(situation)


def _why_not_compensate(situation: Situation) -> str:
    if situation.state is not SagaState.SUCCEEDED:
        return f"only a finished saga can be undone, and this one is {_words(situation.state)}."
    if missing := _why_no_definition(situation):
        return missing
    if situation.execution.pivoting:
        return "its point of no return is behind it."
    if not situation.remaining:
        return "none of its steps has an undo."
    return _why_busy(situation)


def _why_not_hold(situation: Situation) -> str:
    if situation.state not in UNFINISHED:
        return f"it is {_words(situation.state)}."
    if situation.execution.held:
        return "it is held already."
    if situation.execution.wants in ("hold", "cancel"):
        return "it is about to be held or cancelled already."
    return ""


def _why_not_release(situation: Situation) -> str:
    return "" if situation.execution.held else "it is not held."


def _why_not_verify(situation: Situation) -> str:
    if missing := _why_no_definition(situation):
        return missing
    steps = [situation.saga.step(name) for name in histories.in_doubt(situation.history)] if situation.saga else []
    if not any(step and step.verify for step in steps):
        return "no step is in doubt that its provider can be asked about."
    if situation.execution.held and situation.cause_of_hold == "operator":
        return "it is held; release it first."
    return _why_busy(situation)


def _why_not_resolve(situation: Situation) -> str:
    if not situation.execution.held and situation.state is not SagaState.PARTIALLY_COMPENSATED:
        return "a step is resolved by hand while the saga is held or partially compensated."
    return _why_no_definition(situation) or _why_busy(situation)


def _why_not_acknowledge(situation: Situation) -> str:
    if situation.state is not SagaState.FAILED:
        return f"only a failed saga can be acknowledged, and this one is {_words(situation.state)}."
    return "" if situation.execution.needs_attention else "it does not need attention."


def _why_not_correct(situation: Situation) -> str:
    if situation.state is not SagaState.FAILED and not _held_before_any_attempt(situation):
        return (
            "input is corrected once the saga has failed, or while it is held before any attempt of its current step."
        )
    return _why_no_definition(situation) or _why_busy(situation)


def _why_busy(situation: Situation) -> str:
    if situation.execution.leased and situation.execution.held:
        return "its worker died, and what it was about is not put down yet; release it first."
    if situation.execution.leased or situation.execution.wants:
        return "a worker has it in hand; wait for it to end."
    return ""


def _why_no_definition(situation: Situation) -> str:
    if situation.saga is None:
        return f"no saga named {situation.execution.saga_name!r} is registered here."
    return ""


def why_not_resolve_step(situation: Situation, step: str, outcome: Resolution | str, **_: Any) -> str:
    """Why this word on this step cannot be taken, "" when it can."""
    try:
        resolution = Resolution(outcome)
    except ValueError:
        return f"outcome must be one of {', '.join(Resolution)}, not {outcome!r}."
    if step not in situation.history.plan:
        return f"it has no step {step!r}; its steps are {', '.join(situation.history.plan)}."
    view = histories.views_of(situation.history)[step]
    if situation.state not in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED):
        return _why_not_resolve_forward(situation, step, resolution, in_doubt=view.doubt)
    return "" if view.to_undo else f"step {step!r} has nothing to be undone."


def _why_not_resolve_forward(situation: Situation, step: str, resolution: Resolution, *, in_doubt: bool) -> str:
    if resolution is Resolution.UNDONE:
        return "nothing is being undone; say done or not_done."
    standing_at = planner.standing_at(situation.saga, situation.history) if situation.saga else ""
    if in_doubt or step == standing_at:
        return ""
    return f"it stands at step {standing_at!r}, and step {step!r} is not in doubt."


REFUSALS: dict[Act, Callable[[Situation], str]] = {
    Act.RETRY: _why_not_retry,
    Act.CANCEL: _why_not_cancel,
    Act.COMPENSATE: _why_not_compensate,
    Act.HOLD: _why_not_hold,
    Act.RELEASE: _why_not_release,
    Act.VERIFY: _why_not_verify,
    Act.RESOLVE: _why_not_resolve,
    Act.ACKNOWLEDGE: _why_not_acknowledge,
    Act.CORRECT: _why_not_correct,
}


def _held_before_any_attempt(situation: Situation) -> bool:
    before_the_end = (SagaState.PENDING, SagaState.IN_PROGRESS)
    if not situation.execution.held or situation.saga is None or situation.state not in before_the_end:
        return False
    attempt = planner.in_flight(situation.saga, situation.history)
    return attempt is not None and attempt.direction is Direction.ACTION and attempt.number == 1


def _words(state: SagaState) -> str:
    return state.value.replace("_", " ")
