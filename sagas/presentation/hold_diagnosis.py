"""What is said of an execution that is held: by whom, why, and what helps."""

from __future__ import annotations

from django.utils.translation import gettext as _

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.states import Ending
from sagas.engine.history import facts_of, past_pivot
from sagas.engine.planner import current_step
from sagas.models import SagaEvent

from .execution_view import BAD, DOUBT, Diagnosis, Stands, who
from .messages import StepStatus

Kind = SagaEvent.Kind


def diagnose_hold(stands: Stands) -> Diagnosis:
    """What is in doubt comes first, for that is what somebody has to find out."""
    cause, event = _cause(stands)
    doubt = stands.names(StepStatus.IN_DOUBT)
    if doubt:
        headline = _("It is held, and nobody knows whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(
            DOUBT, headline, _("Find out at the provider, then resolve the step by hand with the evidence.")
        )
    if cause == "operator":
        return _held_by_a_person(stands, event)
    advice = _("Mend the cause, then release it; or resolve the step by hand. What the system said: %(reason)s")
    return Diagnosis(BAD, _why_held(stands, cause), advice % {"reason": stands.veil(stands.execution.held)})


def _cause(stands: Stands) -> tuple[str, SagaEvent | None]:
    """Who held it last: operator, engine or on_change; and the act, if it was a person's."""
    try:
        events = list(stands.events(Kind.HELD, Kind.HOLD))
    except UnreadableRow:
        return "operator", None
    cause = next((event.data["cause"] for event in events if "cause" in event.data), "operator")
    return cause, next((event for event in events if event.kind == Kind.HOLD), None)


def _held_by_a_person(stands: Stands, event: SagaEvent | None) -> Diagnosis:
    headline = _("It is held by %(who)s: nothing goes on until a person releases it.") % {"who": who(event)}
    reason = stands.veil(event.reason) if event else ""
    if not reason:
        return Diagnosis(BAD, headline, _("Release it when it may go on."))
    return Diagnosis(
        BAD, headline, _("Release it when it may go on. The reason given: %(reason)s") % {"reason": reason}
    )


def _why_held(stands: Stands, cause: str) -> str:
    if cause == "on_change":
        return _("It is held: what follows from it could not be entered into our own records.")
    gone = [name for name in stands.history.plan if stands.saga.step(name) is None]
    if gone:
        headline = _("It is held: it was planned with what does not exist any more, %(steps)s.")
        return headline % {"steps": stands.in_words(gone)}
    views = facts_of(stands.history)
    poison = [name for name in stands.history.plan if views[name].compensation_ending is Ending.POISON]
    if poison:
        return _("It is held: the undo of %(steps)s keeps breaking down.") % {"steps": stands.in_words(poison)}
    if past_pivot(stands.saga, stands.history):
        headline = _("It is held: %(steps)s failed for good, after the point of no return.")
        return headline % {"steps": stands.in_words([current_step(stands.saga, stands.history)])}
    return _("It is held by the system: nothing goes on until a person releases it.")
