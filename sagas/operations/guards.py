"""Whether an operation is allowed now, and why not.

The states that allow an operation are those in which one of its events may happen, by `ARROWS`. The further conditions
are functions from a view to the reason why not, "" if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import ARROWS, Direction, Resolution, StateEvent
from sagas.engine import planner
from sagas.presentation.execution_view import ExecutionView

from .operation import Operation

Condition = Callable[[ExecutionView], str]

FORWARD = frozenset({StateEvent.BEGIN, StateEvent.COMPLETE})
BY_WORKERS = FORWARD | {StateEvent.ROLL_BACK, StateEvent.FAIL, StateEvent.ALL_COMPENSATED, StateEvent.GIVE_UP}


@dataclass(frozen=True)
class Guard:
    """What an operation needs: a state in which one of `events` may happen (none: any state), and the conditions."""

    conditions: tuple[Condition, ...]
    events: Collection[StateEvent] = ()
    wrong_state: str | Promise = ""


def why_not(operation: Operation, view: ExecutionView) -> str:
    """Return the reason why the operation is not possible now, "" if it is."""
    guard = GUARDS[operation]
    if guard.events and not _may_happen(view, guard.events):
        return str(guard.wrong_state) % {"state": view.execution.get_state_display()}
    reasons = (condition(view) for condition in guard.conditions)
    return next(filter(None, reasons), "")


def allowed(view: ExecutionView) -> tuple[Operation, ...]:
    """Return the operations that are possible now."""
    return tuple(operation for operation, reason in blocked_reasons(view).items() if not reason)


def blocked_reasons(view: ExecutionView) -> dict[Operation, str]:
    """Return each operation with the reason why it is not possible now, "" if it is."""
    return {operation: why_not(operation, view) for operation in GUARDS}


def resolutions(view: ExecutionView) -> tuple[tuple[str, Resolution], ...]:
    """Return each step with each resolution that is possible now; none says that a done step was not done."""
    if why_not(Operation.RESOLVE, view):
        return ()
    pairs = [(step, resolution) for step in view.history.plan for resolution in Resolution]
    plausible = [(step, to) for step, to in pairs if not (view.facts[step].done and to is Resolution.NOT_DONE)]
    return tuple(pair for pair in plausible if not why_not_resolve(view, *pair))


def why_not_resolve(view: ExecutionView, step: str, outcome: Resolution | str) -> str:
    """Return the reason why the step cannot be resolved with this outcome, "" if it can."""
    if outcome not in list(Resolution):
        known = {"known": ", ".join(Resolution), "outcome": outcome}
        return gettext("outcome must be one of %(known)s, not '%(outcome)s'.") % known
    if step not in view.history.plan:
        planned = {"step": step, "steps": ", ".join(view.history.plan)}
        return gettext("it has no step '%(step)s'; its steps are %(steps)s.") % planned
    if not view.rolling_back:
        return _why_not_resolve_forward(view, step, Resolution(outcome))
    return "" if view.facts[step].to_compensate else gettext("step '%(step)s' has nothing to undo.") % {"step": step}


def _why_not_resolve_forward(view: ExecutionView, step: str, resolution: Resolution) -> str:
    if resolution is Resolution.UNDONE:
        return gettext("nothing is being undone; use done or not_done.")
    current = planner.current_step(view.saga, view.history) if view.saga else ""
    if step == current or view.facts[step].in_doubt:
        return ""
    steps = {"current": current, "step": step}
    return gettext("it is at step '%(current)s', and step '%(step)s' is not in doubt.") % steps


def _may_happen(view: ExecutionView, events: Collection[StateEvent]) -> bool:
    return any((view.state, event) in ARROWS for event in events)


def _registered(view: ExecutionView) -> str:
    if view.saga:
        return ""
    return gettext("no saga named '%(saga)s' is registered here.") % {"saga": view.execution.saga_name}


def _idle(view: ExecutionView) -> str:
    if view.execution.leased and view.execution.held:
        return gettext("its worker crashed, and the interrupted attempt is not recorded yet; release it first.")
    if view.execution.leased or view.execution.pending_request:
        return gettext("it is being processed right now; wait until that has ended.")
    return ""


def _before_pivot(view: ExecutionView) -> str:
    return gettext("it has reached its point of no return.") if view.execution.pivot_reached else ""


def _has_compensation(view: ExecutionView) -> str:
    return "" if view.remaining else gettext("none of its steps can be undone.")


def _not_cancelling(view: ExecutionView) -> str:
    return gettext("it is already being cancelled.") if view.execution.pending_request == "cancel" else ""


def _not_held(view: ExecutionView) -> str:
    return gettext("it is already on hold.") if view.execution.held else ""


def _no_hold_requested(view: ExecutionView) -> str:
    requested = view.execution.pending_request in ("hold", "cancel")
    return gettext("a hold or a cancellation has already been requested.") if requested else ""


def _held(view: ExecutionView) -> str:
    return "" if view.execution.held else gettext("it is not on hold.")


def _has_verifiable_step(view: ExecutionView) -> str:
    steps = [view.step(name) for name in view.in_doubt]
    if any(step and step.verify for step in steps):
        return ""
    return gettext("it has no step in doubt that a provider can be asked about.")


def _not_held_by_operator(view: ExecutionView) -> str:
    held = view.execution.held and view.hold_cause == "operator"
    return gettext("it is on hold; release it first.") if held else ""


def _resolvable(view: ExecutionView) -> str:
    if view.execution.held or _may_happen(view, {StateEvent.RESOLVE}):
        return ""
    return gettext("a step can be marked as resolved only while the case is on hold or partly undone.")


def _needs_attention(view: ExecutionView) -> str:
    return "" if view.execution.needs_attention else gettext("it does not need attention.")


def _correctable(view: ExecutionView) -> str:
    if _may_happen(view, {StateEvent.RETRY}) or _held_before_first_attempt(view):
        return ""
    return gettext("its input can be corrected only after it failed, or on hold before the first attempt of a step.")


def _held_before_first_attempt(view: ExecutionView) -> bool:
    if not view.execution.held or not _may_happen(view, FORWARD):
        return False
    attempt = view.next_attempt
    return attempt is not None and attempt.direction is Direction.ACTION and attempt.number == 1


GUARDS: dict[Operation, Guard] = {
    Operation.RETRY: Guard(
        (_registered, _idle),
        events={StateEvent.RETRY, StateEvent.RETRY_COMPENSATIONS},
        wrong_state=_("it can be retried only after it failed, and it is “%(state)s”."),
    ),
    Operation.CANCEL: Guard(
        (_before_pivot, _not_cancelling, _registered),
        events={StateEvent.CANCEL, StateEvent.ROLL_BACK, StateEvent.FAIL},
        wrong_state=_("it is too late to cancel: it is “%(state)s”."),
    ),
    Operation.COMPENSATE: Guard(
        (_registered, _before_pivot, _has_compensation, _idle),
        events={StateEvent.COMPENSATE},
        wrong_state=_("it can be undone only after it succeeded, and it is “%(state)s”."),
    ),
    Operation.HOLD: Guard((_not_held, _no_hold_requested), events=BY_WORKERS, wrong_state=_("it has ended.")),
    Operation.RELEASE: Guard((_held,)),
    Operation.VERIFY: Guard((_registered, _has_verifiable_step, _not_held_by_operator, _idle)),
    Operation.RESOLVE: Guard((_resolvable, _registered, _idle)),
    Operation.ACKNOWLEDGE: Guard(
        (_needs_attention,),
        events={StateEvent.RETRY},
        wrong_state=_("it can be acknowledged only after it failed, and it is “%(state)s”."),
    ),
    Operation.CORRECT: Guard((_correctable, _registered, _idle)),
}
