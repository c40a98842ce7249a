"""Decide whether an operation is allowed now, and give the reason if not.

A state allows an operation if `ARROWS` has an arrow from this state for one of the operation's events. GUARDS adds
further conditions for each operation.
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

FORWARD = frozenset({StateEvent.BEGIN, StateEvent.COMPLETE})
BY_WORKERS = FORWARD | {StateEvent.ROLL_BACK, StateEvent.FAIL, StateEvent.ALL_COMPENSATED, StateEvent.GIVE_UP}


@dataclass(frozen=True)
class Condition:
    """A condition on an execution, and the reason that is shown if the condition is not met."""

    met: Callable[[ExecutionView], bool]
    reason: str | Promise


@dataclass(frozen=True)
class Guard:
    """The requirements of an operation: a state that allows one of `events`, and all conditions.

    If `events` is empty, every state is allowed.
    """

    conditions: tuple[Condition, ...]
    events: Collection[StateEvent] = ()
    wrong_state: str | Promise = ""


def why_not(operation: Operation, view: ExecutionView) -> str:
    """Return the reason why the operation is not possible now, or "" if it is possible."""
    guard = GUARDS[operation]
    if guard.events and not _may_happen(view, guard.events):
        reason = guard.wrong_state
    else:
        reason = next((condition.reason for condition in guard.conditions if not condition.met(view)), "")
    return str(reason) % {"state": view.execution.get_state_display(), "saga": view.execution.saga_name}


def allowed(view: ExecutionView) -> tuple[Operation, ...]:
    """Return the operations that are possible now."""
    return tuple(operation for operation, reason in blocked_reasons(view).items() if not reason)


def blocked_reasons(view: ExecutionView) -> dict[Operation, str]:
    """Map each operation to the reason why it is not possible now, or to "" if it is possible."""
    return {operation: why_not(operation, view) for operation in GUARDS}


def resolutions(view: ExecutionView) -> tuple[tuple[str, Resolution], ...]:
    """Return each pair of step and resolution that is possible now. A done step cannot be resolved as not done."""
    if why_not(Operation.RESOLVE, view):
        return ()
    pairs = [(step, resolution) for step in view.history.plan for resolution in Resolution]
    plausible = [(step, to) for step, to in pairs if not (view.facts[step].done and to is Resolution.NOT_DONE)]
    return tuple(pair for pair in plausible if not why_not_resolve(view, *pair))


def why_not_resolve(view: ExecutionView, step: str, outcome: Resolution | str) -> str:
    """Return the reason why the step cannot be resolved with this outcome, or "" if it can."""
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


def _is_correctable(view: ExecutionView) -> bool:
    """Return whether the input can be replaced.

    The execution must have failed, or be held before the first attempt of the action that is next.
    """
    if _may_happen(view, {StateEvent.RETRY}):
        return True
    if not view.execution.held or not _may_happen(view, FORWARD):
        return False
    attempt = view.next_attempt
    return attempt is not None and attempt.direction is Direction.ACTION and attempt.number == 1


REGISTERED = Condition(
    lambda view: view.saga is not None,
    _("no saga named '%(saga)s' is registered here."),
)
RECORDED = Condition(
    lambda view: not (view.execution.leased and view.execution.held),
    _("its worker crashed, and the interrupted attempt is not recorded yet; release it first."),
)
IDLE = Condition(
    lambda view: not (view.execution.leased or view.execution.pending_request),
    _("it is being processed right now; wait until that has ended."),
)
BEFORE_PIVOT = Condition(
    lambda view: not view.execution.pivot_reached,
    _("it has reached its point of no return."),
)
NOT_CANCELLING = Condition(
    lambda view: view.execution.pending_request != "cancel",
    _("it is already being cancelled."),
)
COMPENSABLE = Condition(
    lambda view: bool(view.remaining),
    _("none of its steps can be undone."),
)
NOT_HELD = Condition(
    lambda view: not view.execution.held,
    _("it is already on hold."),
)
NO_HOLD_REQUESTED = Condition(
    lambda view: view.execution.pending_request not in ("hold", "cancel"),
    _("a hold or a cancellation has already been requested."),
)
HELD = Condition(
    lambda view: bool(view.execution.held),
    _("it is not on hold."),
)
VERIFIABLE = Condition(
    lambda view: any(step and step.verify for step in map(view.step, view.in_doubt)),
    _("it has no step in doubt that a provider can be asked about."),
)
NOT_HELD_BY_OPERATOR = Condition(
    lambda view: not (view.execution.held and view.hold_cause == "operator"),
    _("it is on hold; release it first."),
)
RESOLVABLE = Condition(
    lambda view: bool(view.execution.held) or _may_happen(view, {StateEvent.RESOLVE}),
    _("a step can be marked as resolved only while the case is on hold or partly undone."),
)
NEEDS_ATTENTION = Condition(
    lambda view: view.execution.needs_attention,
    _("it does not need attention."),
)
CORRECTABLE = Condition(
    _is_correctable,
    _("its input can be corrected only after it failed, or on hold before the first attempt of a step."),
)

GUARDS: dict[Operation, Guard] = {
    Operation.RETRY: Guard(
        (REGISTERED, RECORDED, IDLE),
        events={StateEvent.RETRY, StateEvent.RETRY_COMPENSATIONS},
        wrong_state=_("it can be retried only after it failed, and it is “%(state)s”."),
    ),
    Operation.CANCEL: Guard(
        (BEFORE_PIVOT, NOT_CANCELLING, REGISTERED),
        events={StateEvent.CANCEL, StateEvent.ROLL_BACK, StateEvent.FAIL},
        wrong_state=_("it is too late to cancel: it is “%(state)s”."),
    ),
    Operation.COMPENSATE: Guard(
        (REGISTERED, BEFORE_PIVOT, COMPENSABLE, RECORDED, IDLE),
        events={StateEvent.COMPENSATE},
        wrong_state=_("it can be undone only after it succeeded, and it is “%(state)s”."),
    ),
    Operation.HOLD: Guard((NOT_HELD, NO_HOLD_REQUESTED), events=BY_WORKERS, wrong_state=_("it has ended.")),
    Operation.RELEASE: Guard((HELD,)),
    Operation.VERIFY: Guard((REGISTERED, VERIFIABLE, NOT_HELD_BY_OPERATOR, RECORDED, IDLE)),
    Operation.RESOLVE: Guard((RESOLVABLE, REGISTERED, RECORDED, IDLE)),
    Operation.ACKNOWLEDGE: Guard(
        (NEEDS_ATTENTION,),
        events={StateEvent.RETRY},
        wrong_state=_("it can be acknowledged only after it failed, and it is “%(state)s”."),
    ),
    Operation.CORRECT: Guard((CORRECTABLE, REGISTERED, RECORDED, IDLE)),
}
