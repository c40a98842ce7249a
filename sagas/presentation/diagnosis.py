"""Diagnose an execution for the admin and the commands: what has happened, and what to do about it.

`DIAGNOSES` has one function for each state, and `_held` diagnoses every held execution. To mention a new fact about a
state, add it to the function of that state.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.conf import get_settings
from sagas.definition.exceptions import UnreadableRow
from sagas.definition.states import TERMINAL, Ending, SagaState
from sagas.engine.history import deferred_since, past_pivot
from sagas.engine.planner import current_step
from sagas.models import SagaEvent, SagaExecution
from sagas.storage import database

from .execution_view import ExecutionView
from .labels import format_moment, step_label
from .redactor import Redactor
from .step_status import StepStatus, describe_step

Kind = SagaEvent.Kind
GOOD, BUSY, BAD, DOUBT = "good", "busy", "bad", "doubt"
TONES = {SagaState.SUCCEEDED: GOOD, SagaState.FAILED: BAD, SagaState.PARTIALLY_COMPENSATED: BAD}
EVENTS_READ = 20


class Diagnosis(NamedTuple):
    """What has happened to an execution (`headline`), what to do (`advice`), and the operations that this needs.

    `tone` is GOOD, BUSY, BAD or DOUBT.
    """

    tone: str
    headline: str
    advice: str
    operations: tuple[Kind, ...] = ()


def diagnose(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    """Return the diagnosis of the execution in the active language, with redacted texts.

    An execution without a registered saga gets the diagnosis of `diagnose_without_saga`.
    """
    if view.saga is None:
        return diagnose_without_saga(view.execution)
    return _held(view, redactor) if view.execution.held else DIAGNOSES[view.state](view, redactor)


def diagnose_without_saga(execution: SagaExecution) -> Diagnosis:
    """Return the diagnosis of an execution whose saga is not registered in this process.

    Uses only columns that cannot contain personal values.
    """
    names = {"saga": execution.saga_name, "state": execution.get_state_display()}
    advice = _("Only its history can be shown. Texts that may have personal values are left out.")
    if execution.state in TERMINAL:
        headline = _("Ended: %(state)s. Its saga, %(saga)s, is not registered here.") % names
        return Diagnosis(TONES[execution.state], headline, advice)
    return Diagnosis(BAD, _("It cannot go on here: its saga, %(saga)s, is not registered.") % names, advice)


def _pending(_view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    advice = _("It starts by itself. If that takes minutes, call whoever runs the system.")
    return Diagnosis(BUSY, _("Waiting to start."), advice)


def _in_progress(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    if in_doubt := quoted_with(view, StepStatus.IN_DOUBT):
        return _in_doubt(view, in_doubt)
    if view.execution.pending_request == "cancel":
        advice = _("What was done will be undone when the current step has ended.")
        return Diagnosis(BUSY, _("Being cancelled."), advice)
    attempt, until = view.next_attempt, view.waits_until
    advice = _("Nothing to do. It goes on by itself.")
    if attempt and until:
        next_try = {"step": step_label(attempt.step.name, view.saga), "at": format_moment(until)}
        return Diagnosis(BUSY, _("Waiting. Next try of “%(step)s” at %(at)s.") % next_try, advice)
    planned, done = len(view.history.plan), len(names_with(view, StepStatus.DONE))
    headline = ngettext(
        "Running. %(done)s of %(planned)s step is done.",
        "Running. %(done)s of %(planned)s steps are done.",
        planned,
    )
    return Diagnosis(BUSY, headline % {"done": done, "planned": planned}, advice)


def _in_doubt(view: ExecutionView, in_doubt: str) -> Diagnosis:
    headline = _("In doubt. We don't know yet whether this was done: %(steps)s.") % {"steps": in_doubt}
    until = view.waits_until
    if until is None:
        return Diagnosis(DOUBT, headline, _("The provider is being asked. Don't do it in another way meanwhile."))
    advice = _("The provider will be asked at %(at)s. Don't do it in another way meanwhile.")
    return Diagnosis(DOUBT, headline, advice % {"at": format_moment(until)})


def _compensating(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    due = [step for step in view.saga or () if (facts := view.facts.get(step.name)) and facts.to_compensate]
    open_ends = [step for step in due if not view.facts[step.name].compensation_ending]
    deferred = {step.name: since for step in open_ends if (since := deferred_since(step, view.facts[step.name]))}
    if deferred:
        return _deferred(view, deferred)
    attempt, until = view.next_attempt, view.waits_until
    if attempt and until:
        next_try = {"step": step_label(attempt.step.name, view.saga), "at": format_moment(until)}
        headline = _("Being undone. Next try of “%(step)s” at %(at)s.") % next_try
    else:
        headline = _("Being undone: %(steps)s.") % {"steps": quoted_with(view, StepStatus.COMPENSATING)}
    if view.execution.failed_step:
        advice = _("“%(step)s” failed, so what was done before is being undone, last step first.")
        advice %= {"step": step_label(view.execution.failed_step, view.saga)}
    else:
        advice = _("Somebody asked for it. What was done is being undone, last step first.")
    return Diagnosis(BUSY, headline, advice)


def _deferred(view: ExecutionView, since: dict[str, dt.datetime]) -> Diagnosis:
    """Diagnose deferred compensations. `since` maps each step to the time when its provider became unavailable."""
    headline = _("Undoing %(steps)s keeps failing.") % {"steps": quoted(view, since)}
    last_try = min(since.values()) + dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE)
    times = {"until": format_moment(last_try)}
    if view.waits_until is None:
        return Diagnosis(DOUBT, headline, _("Trying again now, and until %(until)s.") % times)
    times["at"] = format_moment(view.waits_until)
    advice = _("Next try at %(at)s. It gives up at %(until)s; then someone must see to it.")
    return Diagnosis(DOUBT, headline, advice % times)


def _succeeded(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    if in_doubt := quoted_with(view, StepStatus.IN_DOUBT):
        headline = _("Done, but we don't know whether this was done: %(steps)s.") % {"steps": in_doubt}
        return Diagnosis(DOUBT, headline, _("It is optional: nothing else depends on it."))
    if missing := quoted_with(view, StepStatus.REFUSED, StepStatus.WAITING):
        headline = _("Done, without %(steps)s.") % {"steps": missing}
        return Diagnosis(GOOD, headline, _("It is optional: nothing else depends on it."))
    return Diagnosis(GOOD, _("Everything is done."), _("Nothing to do."))


def _failed(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    failed = view.execution.failed_step
    if in_doubt := quoted_with(view, StepStatus.IN_DOUBT):
        headline = _("Failed, and we don't know whether this was done: %(steps)s.") % {"steps": in_doubt}
        return Diagnosis(DOUBT, headline, _("It cannot be undone. Check with the provider whether it was done."))
    if not failed:
        return _ended_by_a_person(view, redactor)
    steps = {"step": step_label(failed, view.saga), "left": quoted(view, view.without_compensation)}
    if steps["left"]:
        headline = _("Failed at “%(step)s”. This cannot be undone and stays: %(left)s.")
    elif names_with(view, StepStatus.COMPENSATED):
        headline = _("Failed at “%(step)s”. Everything that was done before is undone.")
    else:
        headline = _("Failed at “%(step)s”. There was nothing to undo.")
    if view.execution.needs_attention:
        advice = _("Look at the last answer below. Fix the cause and retry, or acknowledge it.")
        return Diagnosis(BAD, headline % steps, advice, (Kind.RETRY, Kind.ACKNOWLEDGE))
    return Diagnosis(BAD, headline % steps, _("Nothing to clean up. It can be retried."), (Kind.RETRY,))


def _ended_by_a_person(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    event = next(iter(events_of(view, Kind.CANCEL, Kind.COMPENSATE).defer("data")), None)
    names = {"who": who(event), "left": quoted(view, view.without_compensation)}
    if event is not None and event.kind == Kind.COMPENSATE:
        stays = _("Undone by %(who)s. This cannot be undone and stays: %(left)s.")
        headline = stays if names["left"] else _("Undone by %(who)s. Nothing is left.")
    else:
        stays = _("Cancelled by %(who)s. This cannot be undone and stays: %(left)s.")
        headline = stays if names["left"] else _("Cancelled by %(who)s. Nothing is left.")
    reason = redactor(event.reason) if event else ""
    advice = _("Reason: %(reason)s") % {"reason": reason} if reason else _("Nothing to do.")
    return Diagnosis(BAD, headline % names, advice)


def _partially_compensated(view: ExecutionView, _redactor: Redactor) -> Diagnosis:
    headline = _("Could not be undone: %(steps)s.") % {"steps": quoted_with(view, StepStatus.NOT_COMPENSATED)}
    advice = _("Below is what the provider answered. Undo it there and mark the step as resolved, or retry.")
    return Diagnosis(BAD, headline, advice, (Kind.RESOLVE, Kind.RETRY))


DIAGNOSES: dict[SagaState, Callable[[ExecutionView, Redactor], Diagnosis]] = {
    SagaState.PENDING: _pending,
    SagaState.IN_PROGRESS: _in_progress,
    SagaState.COMPENSATING: _compensating,
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}


def _held(view: ExecutionView, redactor: Redactor) -> Diagnosis:
    """Diagnose a held execution. A step in doubt takes precedence, because someone must check it."""
    if in_doubt := quoted_with(view, StepStatus.IN_DOUBT):
        headline = _("On hold. We don't know whether this was done: %(steps)s.") % {"steps": in_doubt}
        advice = _("Check with the provider, then mark the step as resolved, with evidence.")
        return Diagnosis(DOUBT, headline, advice, (Kind.VERIFY, Kind.RESOLVE))
    cause, event = _hold_cause(view)
    if cause != "operator":
        advice = _("Fix the cause, then release it; or mark the step as resolved. The system says: %(reason)s")
        advice %= {"reason": redactor(view.execution.held)}
        return Diagnosis(BAD, _why_held(view, cause), advice, (Kind.RELEASE, Kind.RESOLVE))
    headline = _("On hold, by %(who)s. Nothing goes on until someone releases it.") % {"who": who(event)}
    advice = _("Release it when it may go on.")
    if reason := redactor(event.reason) if event else "":
        advice = _("Release it when it may go on. Reason: %(reason)s") % {"reason": reason}
    return Diagnosis(BAD, headline, advice, (Kind.RELEASE,))


def _hold_cause(view: ExecutionView) -> tuple[str, SagaEvent | None]:
    """Return the cause of the last hold (operator, engine or on_change), and the operator's event if there is one."""
    try:
        events = list(events_of(view, Kind.HELD, Kind.HOLD))
    except UnreadableRow:
        return "operator", None
    cause = next((event.data["cause"] for event in events if "cause" in event.data), "operator")
    return cause, next((event for event in events if event.kind == Kind.HOLD), None)


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


def names_with(view: ExecutionView, *statuses: StepStatus) -> list[str]:
    """Return the names of the planned steps that have one of these statuses, in the order of the plan."""
    return [name for name in view.history.plan if describe_step(view, name).status in statuses]


def quoted_with(view: ExecutionView, *statuses: StepStatus) -> str:
    """Return the labels of the steps that have one of these statuses, quoted; "" if there are none."""
    return quoted(view, names_with(view, *statuses))


def quoted(view: ExecutionView, names: Iterable[str]) -> str:
    """Return the labels of these steps, quoted and separated by commas."""
    return ", ".join(_("“%(step)s”") % {"step": step_label(name, view.saga)} for name in names)


def events_of(view: ExecutionView, *kinds: Kind) -> QuerySet[SagaEvent]:
    """Select the newest events of these kinds in the current run, newest first, at most EVENTS_READ."""
    events = view.execution.events.using(database.alias()).filter(kind__in=kinds, run=view.execution.run)
    return events.order_by("-id")[:EVENTS_READ]


def who(event: SagaEvent | None) -> str:
    """Return the name of the event's actor, or "somebody" in the active language."""
    return event.actor_name if event and event.actor_name else _("somebody")
