"""What is said of an execution that is held: by whom, why, and what helps."""

from __future__ import annotations

from django.utils.translation import gettext as _

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.states import Ending
from sagas.engine.history import past_pivot
from sagas.engine.planner import current_step
from sagas.models import SagaEvent

from .diagnosis_base import BAD, DOUBT, Diagnosis, events_of, quoted, quoted_with, who
from .execution_view import ExecutionView
from .redactor import Redactor
from .step_status import StepStatus

Kind = SagaEvent.Kind


def diagnose_hold(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    """What is in doubt comes first, for that is what somebody has to find out."""
    cause, event = _cause(view)
    doubt = quoted_with(view, StepStatus.IN_DOUBT)
    if doubt:
        headline = _("It is held, and nobody knows whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(
            DOUBT, headline, _("Find out at the provider, then resolve the step by hand with the evidence.")
        )
    if cause == "operator":
        return _held_by_a_person(event, redactor)
    advice = _("Mend the cause, then release it; or resolve the step by hand. What the system said: %(reason)s")
    return Diagnosis(BAD, _why_held(view, cause), advice % {"reason": redactor(view.execution.held)})


def _cause(view: ExecutionView) -> tuple[str, SagaEvent | None]:
    """Who held it last: operator, engine or on_change; and the act, if it was a person's."""
    try:
        events = list(events_of(view, Kind.HELD, Kind.HOLD))
    except UnreadableRow:
        return "operator", None
    cause = next((event.data["cause"] for event in events if "cause" in event.data), "operator")
    return cause, next((event for event in events if event.kind == Kind.HOLD), None)


def _held_by_a_person(event: SagaEvent | None, redactor: Redactor) -> Diagnosis:
    headline = _("It is held by %(who)s: nothing goes on until a person releases it.") % {"who": who(event)}
    reason = redactor(event.reason) if event else ""
    if not reason:
        return Diagnosis(BAD, headline, _("Release it when it may go on."))
    return Diagnosis(
        BAD, headline, _("Release it when it may go on. The reason given: %(reason)s") % {"reason": reason}
    )


def _why_held(view: ExecutionView, cause: str) -> str:
    if cause == "on_change":
        return _("It is held: what follows from it could not be entered into our own records.")
    gone = [name for name in view.history.plan if view.step(name) is None]
    if gone:
        headline = _("It is held: it was planned with what does not exist any more, %(steps)s.")
        return headline % {"steps": quoted(view, gone)}
    poison = [name for name in view.history.plan if view.facts[name].compensation_ending is Ending.POISON]
    if poison:
        return _("It is held: the undo of %(steps)s keeps breaking down.") % {"steps": quoted(view, poison)}
    if view.saga and past_pivot(view.saga, view.history):
        headline = _("It is held: %(steps)s failed for good, after the point of no return.")
        return headline % {"steps": quoted(view, [current_step(view.saga, view.history)])}
    return _("It is held by the system: nothing goes on until a person releases it.")
