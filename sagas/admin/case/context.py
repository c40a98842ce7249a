"""Load what the page of an execution shows, and build its template context."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import UNFINISHED, SagaState
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.models.clock import CLOCK
from sagas.presentation.execution_view import ExecutionView, view_of
from sagas.presentation.labels import name_label
from sagas.presentation.overview import Overview, StepLine, overview_of
from sagas.presentation.redactor import Redactor
from sagas.presentation.step_status import StepStatus
from sagas.storage import database

from .events import events_of
from .timeline import attempts_of, by_run, timeline_of

BEFORE_THE_END = frozenset({SagaState.PENDING, SagaState.IN_PROGRESS})
SOON = dt.timedelta(seconds=60)
ATTEMPTS_SHOWN = 300
EVENTS_SHOWN = 200
SHOWN_IF_EMPTY = ("in_doubt", "good", "compensated")
OTHER_GROUPS = {
    StepStatus.COMPENSATING: _("Being undone"),
    StepStatus.RUNNING: _("Running"),
    StepStatus.REFUSED: _("Not done"),
}


@dataclass(frozen=True)
class Details:
    """An execution with the rows that its page lists.

    `attempts` are at most ATTEMPTS_SHOWN of `attempt_count` attempts, oldest first: those just before the sequence
    `before`, or the newest for None. `events` are the newest ones, newest first.
    """

    view: ExecutionView
    attempts: list[StepRun]
    attempt_count: int
    events: list[SagaEvent]
    before: int | None


@dataclass(frozen=True)
class Group:
    """The steps of some status under a heading. `kind` is the CSS class."""

    kind: str
    heading: str | Promise
    lines: tuple[StepLine, ...]


def load_details(pk: int, *, before: int | None = None) -> Details | None:
    """Load the execution in a fixed number of queries. Return None if there is none.

    With `before`, only attempts with a lower sequence are loaded. Raises UnreadableRow if a row is damaged.
    """
    execution = SagaExecution.objects.using(database.alias()).filter(pk=pk).first()
    if execution is None:
        return None
    step_runs = execution.step_runs.using(database.alias())
    shown = step_runs.filter(sequence__lt=before) if before else step_runs
    return Details(
        view=view_of(execution),
        attempts=list(shown.order_by("-sequence")[:ATTEMPTS_SHOWN])[::-1],
        attempt_count=step_runs.count(),
        events=list(execution.events.using(database.alias()).order_by("-id")[:EVENTS_SHOWN]),
        before=before,
    )


def live_part(details: Details, redactor: Redactor) -> dict[str, Any]:
    """Return the template context of the part that is updated while the execution runs.

    All texts are redacted by `redactor`. "live" says whether the page should continue to update itself.
    """
    view, execution = details.view, details.view.execution
    overview = overview_of(view, redactor)
    attempts = attempts_of(details.attempts, view.saga, redactor)
    runs = by_run(attempts)
    shown, more = details.attempts, None
    if len(shown) < details.attempt_count:
        # The numbers for "show older attempts": the older attempts have a sequence number below `before`.
        older = shown[0].sequence if len(shown) == ATTEMPTS_SHOWN else 0
        more = {"shown": len(shown), "all": details.attempt_count, "before": older}
    return {
        "execution": execution,
        "overview": overview,
        "groups": _groups(overview, unfinished=execution.state in BEFORE_THE_END),
        "facts": _facts(view, redactor),
        "timeline": timeline_of(view, attempts),
        "attempts": runs.pop(execution.run, []),
        "earlier_runs": runs,
        "more": more,
        "live": is_live(execution) and not details.before,
    }


def static_part(details: Details, redactor: Redactor, *, revealed: bool) -> dict[str, Any]:
    """Return the template context of events, notes and the technical view.

    `revealed` shows personal values in the technical view; otherwise they are hidden there from every user.
    """
    execution = details.view.execution
    events = events_of(details.events, details.view.saga, redactor)
    technical = redactor if redactor.shows_personal is revealed else replace(redactor, shows_personal=revealed)
    return {
        "events": [event for event in events if not event.is_note],
        "notes": [event for event in events if event.is_note],
        "revealed": revealed,
        "input": _as_text(_redacted(execution.input, technical)),
        "context": _as_text(_redacted(execution.context, technical)),
        "step_runs": [(run, _as_text(_redacted(run.output, technical))) for run in details.attempts],
    }


def is_live(execution: SagaExecution) -> bool:
    """Return whether the page should update itself, because the execution is leased or due within SOON."""
    if execution.state not in UNFINISHED or execution.held:
        return False
    due = execution.due_at
    return execution.leased or (due is not None and due <= CLOCK.by_host() + SOON)


def _groups(overview: Overview, *, unfinished: bool) -> list[Group]:
    """Return the groups, most urgent first. "In doubt", "Done" and "Undone" are included even if they are empty."""
    groups = [
        Group("bad", _("Could not be undone"), overview.not_compensated),
        Group("in_doubt", _("In doubt"), overview.in_doubt),
        Group("good", _("Done"), overview.done),
        Group("compensated", _("Undone"), overview.compensated),
    ]
    waiting = _("To do") if unfinished else _("Not started")
    for status, heading in {**OTHER_GROUPS, StepStatus.WAITING: waiting}.items():
        groups.append(Group("other", heading, tuple(line for line in overview.others if line.status is status)))
    return [group for group in groups if group.lines or group.kind in SHOWN_IF_EMPTY]


def _facts(view: ExecutionView, redactor: Redactor) -> list[tuple[str, str]]:
    """Return the references and the personal values, redacted, as pairs of label and value."""
    execution, saga = view.execution, view.saga
    known = {**execution.input, **execution.context}
    keys = dict.fromkeys([*saga.references, *saga.personal]) if saga else {}
    values = {key: known[key] for key in keys if known.get(key)}
    shown = redactor(values)
    return [(name_label(key), _as_text(value)) for key, value in (shown or {}).items()]


def _redacted(value: Any, redactor: Redactor) -> Any:
    """Redact a value. If the personal keys are not known, keep the keys of a mapping and hide all values."""
    if redactor.shows_nothing and isinstance(value, Mapping):
        return {key: f"[{key}]" for key in value}
    return redactor(value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
