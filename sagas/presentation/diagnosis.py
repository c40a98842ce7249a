"""The situations that a case can be in: for each a headline, and what a person should do about it."""

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
    """What has become of it and, where a person has to act, what to do."""
    if view.saga is None:
        return diagnose_without_saga(view.execution)
    return diagnose_hold(view, redactor) if view.execution.held else DIAGNOSES[view.state](view, redactor)


def diagnose_without_saga(execution: SagaExecution) -> Diagnosis:
    """What can be said where the definition is not known: its state, and why there is no more."""
    told = {"saga": execution.saga_name, "state": execution.get_state_display()}
    advice = _(
        "What follows is told from its history alone; personal values cannot be told from others and are left out."
    )
    if execution.state in TERMINAL:
        headline = _("It has ended: %(state)s. Its saga, %(saga)s, is not registered here.") % told
        return Diagnosis(TONES[execution.state], headline, advice)
    return Diagnosis(BAD, _("It cannot go on here: its saga, %(saga)s, is not registered.") % told, advice)


def _pending(_view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    advice = _("It begins by itself. If that takes minutes, call whoever looks after the system.")
    return Diagnosis(BUSY, _("It waits for its turn; nothing has begun yet."), advice)


def _in_progress(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    if doubt := quoted_with(view, StepStatus.IN_DOUBT):
        return _in_doubt(view, doubt)
    if view.execution.pending_request == "cancel":
        advice = _("As soon as the step under way has ended, what was done is undone.")
        return Diagnosis(BUSY, _("It is about to be cancelled."), advice)
    attempt, until = view.next_attempt, view.waits_until
    if attempt and until:
        told = {"step": step_label(attempt.step.name, view.saga), "at": format_moment(until)}
        advice = _("You need not do anything: it goes on by itself.")
        return Diagnosis(BUSY, _("It waits: the next attempt of “%(step)s” is at %(at)s.") % told, advice)
    return Diagnosis(BUSY, _how_far(view), _("You need not do anything: it goes on by itself."))


def _in_doubt(view: ExecutionView, doubt: str) -> Diagnosis:
    headline = _("Nobody knows yet whether this was done: %(steps)s.") % {"steps": doubt}
    until = view.waits_until
    if until is None:
        return Diagnosis(DOUBT, headline, _("It is finding out by itself. Do not do it again by another way."))
    advice = _("It finds out by itself, next at %(at)s. Do not do it again by another way.")
    return Diagnosis(DOUBT, headline, advice % {"at": format_moment(until)})


def _how_far(view: ExecutionView) -> str:
    planned, done = len(view.history.plan), len(names_with(view, StepStatus.DONE))
    headline = ngettext(
        "It is running: %(done)s of %(planned)s step is done.",
        "It is running: %(done)s of %(planned)s steps are done.",
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
        headline = _("It is being undone: the next attempt to undo “%(step)s” is at %(at)s.") % told
    else:
        headline = _("It is being undone: %(steps)s.") % {"steps": quoted_with(view, StepStatus.COMPENSATING)}
    return Diagnosis(BUSY, headline, _why_compensating(view))


def _deferred_since(view: ExecutionView, step: SagaStep) -> dt.datetime | None:
    facts = view.facts.get(step.name)
    return deferred_since(step, facts) if facts and facts.to_compensate and not facts.compensation_ending else None


def _deferred(view: ExecutionView, names: list[str], since: dt.datetime) -> Diagnosis:
    headline = _("The undo of %(steps)s does not get through.") % {"steps": quoted(view, names)}
    last = since + dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE)
    told = {"until": format_moment(last)}
    if view.waits_until is None:
        return Diagnosis(DOUBT, headline, _("It is tried again now, and then again and again until %(until)s.") % told)
    told["at"] = format_moment(view.waits_until)
    advice = _(
        "It is tried again by itself at %(at)s, and again until %(until)s; after that a person has to see to it."
    )
    return Diagnosis(DOUBT, headline, advice % told)


def _why_compensating(view: ExecutionView) -> str:
    if view.execution.failed_step:
        advice = _("“%(step)s” failed for good, so what was done before is undone, last step first.")
        return advice % {"step": step_label(view.execution.failed_step, view.saga)}
    return _("Somebody asked for it; what was done is undone, last step first.")


def _succeeded(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    if doubt := quoted_with(view, StepStatus.IN_DOUBT):
        headline = _("It has ended well, but nobody knows whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(DOUBT, headline, _("It is optional: nothing else depends on it."))
    if missing := quoted_with(view, StepStatus.REFUSED, StepStatus.WAITING):
        headline = _("It has ended well, without %(steps)s.") % {"steps": missing}
        return Diagnosis(GOOD, headline, _("It is optional: nothing else depends on it."))
    return Diagnosis(GOOD, _("Everything has been done."), _("There is nothing to do."))


def _failed(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    failed, doubt = view.execution.failed_step, quoted_with(view, StepStatus.IN_DOUBT)
    if doubt:
        headline = _("It has failed, and nobody knows whether this was done: %(steps)s.") % {"steps": doubt}
        return Diagnosis(DOUBT, headline, _("There is no undo for it. Find out at the provider what has become of it."))
    if not failed:
        return _ended_by_a_person(view, redactor)
    told = {"step": step_label(failed, view.saga), "left": quoted(view, view.without_compensation)}
    if told["left"]:
        headline = _("It failed at “%(step)s”; this has no undo and stays as it is: %(left)s.")
    elif names_with(view, StepStatus.COMPENSATED):
        headline = _("It failed at “%(step)s”; everything that was done before is undone.")
    else:
        headline = _("It failed at “%(step)s”; there was nothing to undo.")
    return Diagnosis(BAD, headline % told, _what_to_do_about_a_failure(view))


def _what_to_do_about_a_failure(view: ExecutionView) -> str:
    if view.execution.needs_attention:
        return _("Look at the last answer below. Mend the cause and try again from the start, or acknowledge it.")
    return _("There is nothing to clean up. It can be tried again from the start.")


def _ended_by_a_person(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    operation = next(iter(events_of(view, Kind.CANCEL, Kind.COMPENSATE).defer("data")), None)
    told = {"who": who(operation), "left": quoted(view, view.without_compensation)}
    on_request = operation is not None and operation.kind == Kind.COMPENSATE
    reason = redactor(operation.reason) if operation else ""
    advice = _("The reason given: %(reason)s") % {"reason": reason} if reason else _("There is nothing to do.")
    return Diagnosis(BAD, _end_headline(on_request=on_request, left=bool(told["left"])) % told, advice)


def _end_headline(*, on_request: bool, left: bool) -> str:
    if on_request and left:
        return _("It was undone, as %(who)s asked; this has no undo and stays as it is: %(left)s.")
    if on_request:
        return _("It was undone, as %(who)s asked; nothing of it stands.")
    if left:
        return _("It was cancelled by %(who)s; this has no undo and stays as it is: %(left)s.")
    return _("It was cancelled by %(who)s; nothing of it stands.")


def _partially_compensated(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    headline = _("It could not be undone altogether. This stands, or may stand: %(steps)s.")
    advice = _(
        "A person has to see to it: below is what the provider answered, and what can be done there. "
        "When it is done, resolve the step by hand with the evidence; or have the undo tried again."
    )
    return Diagnosis(BAD, headline % {"steps": quoted_with(view, StepStatus.NOT_COMPENSATED)}, advice)


DIAGNOSES: dict[SagaState, Callable[[ExecutionView, Redactor], Diagnosis]] = {
    SagaState.PENDING: _pending,
    SagaState.IN_PROGRESS: _in_progress,
    SagaState.COMPENSATING: _compensating,
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}
