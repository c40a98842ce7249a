"""What the page of a case shows, put into words for its reader."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import UNFINISHED, SagaState
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.presentation.labels import name_label
from sagas.presentation.messages import StepStatus
from sagas.presentation.overview import Case, case_of
from sagas.presentation.redactor import Redactor
from sagas.presentation.step_lines import Line

from .events import events_of
from .load import ATTEMPTS_SHOWN, File
from .timeline import attempts_of, by_run, picture_of

BEFORE_THE_END = frozenset({SagaState.PENDING, SagaState.IN_PROGRESS})
SHORTLY = dt.timedelta(seconds=60)
DEFERRED = {
    StepStatus.COMPENSATING: _("Being undone"),
    StepStatus.RUNNING: _("Under way"),
    StepStatus.REFUSED: _("Not done"),
}


@dataclass(frozen=True)
class Group:
    """Steps that stand alike, under a heading; `kind` is the class of their colour."""

    kind: str
    heading: str | Promise
    lines: tuple[Line, ...]


def live_part(file: File, redactor: Redactor) -> dict[str, Any]:
    """What the page keeps telling while the execution goes on."""
    execution = file.view.execution
    case = case_of(file.view, redactor)
    attempts = attempts_of(file, redactor)
    runs = by_run(attempts)
    return {
        "execution": execution,
        "case": case,
        "groups": _groups(case, goes_on=execution.state in BEFORE_THE_END),
        "facts": _facts(file, redactor),
        "picture": picture_of(file, attempts),
        "attempts": runs.pop(execution.run, []),
        "earlier_runs": runs,
        "more": _more(file),
        "unreadable": file.unreadable,
        "live": is_live(execution) and not file.before,
    }


def other_parts(file: File, redactor: Redactor, *, revealed: bool) -> dict[str, Any]:
    """What does not change by itself: events, notes, and the technical view, redacted unless it is revealed."""
    events = events_of(file, redactor)
    technical = redactor if redactor.shows_personal is revealed else replace(redactor, shows_personal=revealed)
    return {
        "events": [event for event in events if not event.is_note],
        "notes": [event for event in events if event.is_note],
        "revealed": revealed,
        "input": _as_text(_redacted(file.view.execution.input, technical)),
        "context": _as_text(_redacted(file.view.execution.context, technical)),
        "step_runs": [(run, _as_text(_redacted(run.output, technical))) for run in file.attempts],
    }


def is_live(execution: SagaExecution) -> bool:
    """Whether it is worth looking again soon: somebody has it in hand, or it goes on shortly."""
    if not _goes_on(execution):
        return False
    due = execution.due_at
    return execution.leased or (due is not None and due <= CLOCK.by_host() + SHORTLY)


def waits(execution: SagaExecution) -> bool:
    """Whether it goes on by itself at a moment that is still to come."""
    return execution.due_at is not None and execution.due_at > CLOCK.by_host()


def _goes_on(execution: SagaExecution) -> bool:
    return execution.state in UNFINISHED and not execution.held


def _groups(case: Case, *, goes_on: bool) -> list[Group]:
    """What needs a person first; whether anything is in doubt, done and undone is always said."""
    waiting = tuple(line for line in case.others if line.status is StepStatus.WAITING)
    deferred = [
        (word, tuple(line for line in case.others if line.status is status)) for status, word in DEFERRED.items()
    ]
    always = [
        Group("doubt", _("In doubt"), case.in_doubt),
        Group("good", _("Done"), case.done),
        Group("undone", _("Undone"), case.undone),
    ]
    sometimes = [Group("bad", _("Not undone"), case.not_undone)]
    rest = [Group("other", word, lines) for word, lines in deferred]
    rest.append(Group("other", _("To come") if goes_on else _("Not begun"), waiting))
    return [*_with_lines(sometimes), *always, *_with_lines(rest)]


def _with_lines(groups: Iterable[Group]) -> list[Group]:
    return [group for group in groups if group.lines]


def _facts(file: File, redactor: Redactor) -> list[tuple[str, str]]:
    """The customer, and what the case is known by elsewhere."""
    saga, known = file.view.saga, {**file.view.execution.input, **file.view.execution.context}
    keys = dict.fromkeys([*saga.references, *saga.personal]) if saga else {}
    facts = {key: known[key] for key in keys if known.get(key)}
    seen = redactor(facts)
    return [(name_label(key), _as_text(value)) for key, value in (seen or {}).items()]


def _more(file: File) -> dict[str, int] | None:
    """Which attempts are shown, where there are more."""
    if len(file.attempts) == file.all_attempts:
        return None
    older = file.attempts[0].sequence if len(file.attempts) == ATTEMPTS_SHOWN else 0
    return {"shown": len(file.attempts), "all": file.all_attempts, "before": older}


def _redacted(value: Any, redactor: Redactor) -> Any:
    """The value as it may be shown; where nobody can tell what is personal, its keys only."""
    if redactor.shows_nothing and isinstance(value, Mapping):
        return {key: f"[{key}]" for key in value}
    return redactor(value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
