"""The diagnosis of an execution: a headline and advice, from its state, its steps and its events.

To add a diagnosis, add a function to `DIAGNOSES`; those of held executions are in `hold_diagnosis`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.conf import get_settings
from sagas.definition.saga import SagaStep
from sagas.definition.states import TERMINAL, SagaState
from sagas.engine.history import deferred_since
from sagas.models import SagaEvent, SagaExecution

from .diagnosis_base import (
    BAD,
    BUSY,
    DOUBT,
    GOOD,
    Diagnosis,
    events_of,
    names_with,
    quoted,
    quoted_with,
    who,
)
from .execution_view import ExecutionView
from .hold_diagnosis import diagnose_hold
from .labels import step_label
from .redactor import Redactor
from .step_status import StepStatus
from .time_format import format_moment

Kind = SagaEvent.Kind
TONES = {SagaState.SUCCEEDED: GOOD, SagaState.FAILED: BAD, SagaState.PARTIALLY_COMPENSATED: BAD}


def diagnose(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    """Return what has happened to the execution and, if someone must act, what to do."""
    if view.saga is None:
        return diagnose_without_saga(view.execution)
    return diagnose_hold(view, redactor) if view.execution.held else DIAGNOSES[view.state](view, redactor)


def diagnose_without_saga(execution: SagaExecution) -> Diagnosis:
    """Return the diagnosis of an execution whose saga is not registered here."""
    told = {"saga": execution.saga_name, "state": execution.get_state_display()}
    advice = _("Only its history can be shown. Texts that may have personal values are left out.")
    if execution.state in TERMINAL:
        headline = _("Ended: %(state)s. Its saga, %(saga)s, is not registered here.") % told
        return Diagnosis(TONES[execution.state], headline, advice)
    return Diagnosis(BAD, _("It cannot go on here: its saga, %(saga)s, is not registered.") % told, advice)


def _pending(_view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    advice = _("It starts by itself. If that takes minutes, call whoever runs the system.")
    return Diagnosis(BUSY, _("Waiting to start."), advice)


def _in_progress(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    if doubt := quoted_with(view, StepStatus.IN_DOUBT):
        return _in_doubt(view, doubt)
    if view.execution.pending_request == "cancel":
        advice = _("What was done will be undone when the current step has ended.")
        return Diagnosis(BUSY, _("Being cancelled."), advice)
    attempt, until = view.next_attempt, view.waits_until
    if attempt and until:
        told = {"step": step_label(attempt.step.name, view.saga), "at": format_moment(until)}
        advice = _("Nothing to do. It goes on by itself.")
        return Diagnosis(BUSY, _("Waiting. Next try of “%(step)s” at %(at)s.") % told, advice)
    return Diagnosis(BUSY, _how_far(view), _("Nothing to do. It goes on by itself."))


def _in_doubt(view: ExecutionView, doubt: str) -> Diagnosis:
    headline = _("In doubt. We don't know yet whether this was done: %(steps)s.") % {"steps": doubt}
    until = view.waits_until
    if until is None:
        return Diagnosis(DOUBT, headline, _("The provider is being asked. Don't do it in another way meanwhile."))
    advice = _("The provider will be asked at %(at)s. Don't do it in another way meanwhile.")
    return Diagnosis(DOUBT, headline, advice % {"at": format_moment(until)})


def _how_far(view: ExecutionView) -> str:
    planned, done = len(view.history.plan), len(names_with(view, StepStatus.DONE))
    headline = ngettext(
        "Running. %(done)s of %(planned)s step is done.",
        "Running. %(done)s of %(planned)s steps are done.",
        planned,
    )
    return headline % {"done": done, "planned": planned}


def _compensating(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    deferred = [(step, since) for step in view.saga or () if (since := _deferred_since(view, step))]
    if deferred:
        return _deferred(view, [step.name for step, _since in deferred], min(since for _step, since in deferred))
    attempt, until = view.next_attempt, view.waits_until
    if attempt and until:
        told = {"step": step_label(attempt.step.name, view.saga), "at": format_moment(until)}
        headline = _("Being undone. Next try of “%(step)s” at %(at)s.") % told
    else:
        headline = _("Being undone: %(steps)s.") % {"steps": quoted_with(view, StepStatus.COMPENSATING)}
    return Diagnosis(BUSY, headline, _why_compensating(view))


def _deferred_since(view: ExecutionView, step: SagaStep) -> dt.datetime | None:
    facts = view.facts.get(step.name)
    return deferred_since(step, facts) if facts and facts.to_compensate and not facts.compensation_ending else None


def _deferred(view: ExecutionView, names: list[str], since: dt.datetime) -> Diagnosis:
    headline = _("Undoing %(steps)s keeps failing.") % {"steps": quoted(view, names)}
    last = since + dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE)
    told = {"until": format_moment(last)}
    if view.waits_until is None:
        return Diagnosis(DOUBT, headline, _("Trying again now, and until %(until)s.") % told)
    told["at"] = format_moment(view.waits_until)
    advice = _("Next try at %(at)s. It gives up at %(until)s; then someone must see to it.")
    return Diagnosis(DOUBT, headline, advice % told)


def _why_compensating(view: ExecutionView) -> str:
    if view.execution.failed_step:
        advice = _("“%(step)s” failed, so what was done before is being undone, last step first.")
        return advice % {"step": step_label(view.execution.failed_step, view.saga)}
    return _("Somebody asked for it. What was done is being undone, last step first.")


def _succeeded(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    if doubt := quoted_with(view, StepStatus.IN_DOUBT):
        headline = _("Done, but we don't know whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(DOUBT, headline, _("It is optional: nothing else depends on it."))
    if missing := quoted_with(view, StepStatus.REFUSED, StepStatus.WAITING):
        headline = _("Done, without %(steps)s.") % {"steps": missing}
        return Diagnosis(GOOD, headline, _("It is optional: nothing else depends on it."))
    return Diagnosis(GOOD, _("Everything is done."), _("Nothing to do."))


def _failed(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    failed, doubt = view.execution.failed_step, quoted_with(view, StepStatus.IN_DOUBT)
    if doubt:
        headline = _("Failed, and we don't know whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(DOUBT, headline, _("It cannot be undone. Check with the provider whether it was done."))
    if not failed:
        return _ended_by_a_person(view, redactor)
    told = {"step": step_label(failed, view.saga), "left": quoted(view, view.without_compensation)}
    if told["left"]:
        headline = _("Failed at “%(step)s”. This cannot be undone and stays: %(left)s.")
    elif names_with(view, StepStatus.COMPENSATED):
        headline = _("Failed at “%(step)s”. Everything that was done before is undone.")
    else:
        headline = _("Failed at “%(step)s”. There was nothing to undo.")
    return Diagnosis(BAD, headline % told, _what_to_do_about_a_failure(view))


def _what_to_do_about_a_failure(view: ExecutionView) -> str:
    if view.execution.needs_attention:
        return _("Look at the last answer below. Fix the cause and retry, or acknowledge it.")
    return _("Nothing to clean up. It can be retried.")


def _ended_by_a_person(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    operation = next(iter(events_of(view, Kind.CANCEL, Kind.COMPENSATE).defer("data")), None)
    told = {"who": who(operation), "left": quoted(view, view.without_compensation)}
    on_request = operation is not None and operation.kind == Kind.COMPENSATE
    reason = redactor(operation.reason) if operation else ""
    advice = _("Reason: %(reason)s") % {"reason": reason} if reason else _("Nothing to do.")
    return Diagnosis(BAD, _end_headline(on_request=on_request, left=bool(told["left"])) % told, advice)


def _end_headline(*, on_request: bool, left: bool) -> str:
    if on_request and left:
        return _("Undone by %(who)s. This cannot be undone and stays: %(left)s.")
    if on_request:
        return _("Undone by %(who)s. Nothing is left.")
    if left:
        return _("Cancelled by %(who)s. This cannot be undone and stays: %(left)s.")
    return _("Cancelled by %(who)s. Nothing is left.")


def _partially_compensated(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    headline = _("Could not be undone: %(steps)s.")
    advice = _("Below is what the provider answered. Undo it there and mark the step as resolved, or retry.")
    return Diagnosis(BAD, headline % {"steps": quoted_with(view, StepStatus.NOT_COMPENSATED)}, advice)


DIAGNOSES: dict[SagaState, Callable[[ExecutionView, Redactor], Diagnosis]] = {
    SagaState.PENDING: _pending,
    SagaState.IN_PROGRESS: _in_progress,
    SagaState.COMPENSATING: _compensating,
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}
