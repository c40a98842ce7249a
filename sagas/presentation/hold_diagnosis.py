"""The diagnosis of a held execution: who held it, why, and what to do."""

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
    """Return the diagnosis; a step in doubt comes first, because someone must check it."""
    cause, event = _cause(view)
    doubt = quoted_with(view, StepStatus.IN_DOUBT)
    if doubt:
        headline = _("On hold. We don't know whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(DOUBT, headline, _("Check with the provider, then mark the step as resolved, with evidence."))
    if cause == "operator":
        return _held_by_a_person(event, redactor)
    advice = _("Fix the cause, then release it; or mark the step as resolved. The system says: %(reason)s")
    return Diagnosis(BAD, _why_held(view, cause), advice % {"reason": redactor(view.execution.held)})


def _cause(view: ExecutionView) -> tuple[str, SagaEvent | None]:
    """Return who held it last (operator, engine or on_change), and the operator's event if there is one."""
    try:
        events = list(events_of(view, Kind.HELD, Kind.HOLD))
    except UnreadableRow:
        return "operator", None
    cause = next((event.data["cause"] for event in events if "cause" in event.data), "operator")
    return cause, next((event for event in events if event.kind == Kind.HOLD), None)


def _held_by_a_person(event: SagaEvent | None, redactor: Redactor) -> Diagnosis:
    headline = _("On hold, by %(who)s. Nothing goes on until someone releases it.") % {"who": who(event)}
    reason = redactor(event.reason) if event else ""
    if not reason:
        return Diagnosis(BAD, headline, _("Release it when it may go on."))
    return Diagnosis(BAD, headline, _("Release it when it may go on. Reason: %(reason)s") % {"reason": reason})


def _why_held(view: ExecutionView, cause: str) -> str:
    if cause == "on_change":
        return _("On hold: its result could not be written to our own records.")
    gone = [name for name in view.history.plan if view.step(name) is None]
    if gone:
        headline = _("On hold: these steps are no longer defined: %(steps)s.")
        return headline % {"steps": quoted(view, gone)}
    poison = [name for name in view.history.plan if view.facts[name].compensation_ending is Ending.POISON]
    if poison:
        return _("On hold: undoing %(steps)s keeps crashing the worker.") % {"steps": quoted(view, poison)}
    if view.saga and past_pivot(view.saga, view.history):
        headline = _("On hold: %(steps)s failed after the point of no return.")
        return headline % {"steps": quoted(view, [current_step(view.saga, view.history)])}
    return _("On hold, by the system. Nothing goes on until someone releases it.")
