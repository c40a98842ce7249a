"""Summarize an execution on one page: its diagnosis, and a line for each step, grouped by status."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from sagas.definition.exceptions import OutcomeUnknown, RetryLater, StepFailed, StepTimeout, StillPending
from sagas.definition.states import Direction, Outcome
from sagas.engine.history import PastAttempt
from sagas.models import LOST_LEASE, SagaExecution
from sagas.storage import database

from .diagnosis import diagnose
from .execution_view import ExecutionView
from .messages import by_hand, step_texts
from .redactor import Redactor
from .step_status import StepStatus

# The messages of these errors are complete sentences. For other errors, people need the type too.
SENTENCE_ERRORS = {kind.__name__ for kind in (StepFailed, RetryLater, OutcomeUnknown, StillPending, StepTimeout)}
SETTLED = frozenset({StepStatus.DONE, StepStatus.COMPENSATED})
GROUPED = SETTLED | {StepStatus.IN_DOUBT, StepStatus.NOT_COMPENSATED}


@dataclass(frozen=True)
class StepLine:
    """One step in the overview.

    `at` is the end of its last attempt. `references` are the reported values that people search by, with their keys.
    `why` is the last error, unless the step is done or compensated. `by_hand` says what staff can do.
    """

    step: str
    status: StepStatus
    sentence: str
    at: dt.datetime | None
    references: tuple[tuple[str, str], ...]
    why: str
    by_hand: str


@dataclass(frozen=True)
class Overview:
    """The diagnosis, and the step lines by status. `others` has refused, running, compensating and waiting steps."""

    tone: str
    headline: str
    advice: str
    done: tuple[StepLine, ...]
    compensated: tuple[StepLine, ...]
    in_doubt: tuple[StepLine, ...]
    not_compensated: tuple[StepLine, ...]
    others: tuple[StepLine, ...]


def overview_of(view: ExecutionView, redactor: Redactor) -> Overview:
    """Return the overview of the execution, in the active language and redacted.

    Queries the database for the last errors, and for the events of a held or cancelled execution.
    """
    lines, diagnosis = step_lines(view, redactor), diagnose(view, redactor)
    by_status = {status: tuple(line for line in lines if line.status is status) for status in StepStatus}
    return Overview(
        tone=diagnosis.tone,
        headline=diagnosis.headline,
        advice=diagnosis.advice,
        done=by_status[StepStatus.DONE],
        compensated=by_status[StepStatus.COMPENSATED],
        in_doubt=by_status[StepStatus.IN_DOUBT],
        not_compensated=by_status[StepStatus.NOT_COMPENSATED],
        others=tuple(line for line in lines if line.status not in GROUPED),
    )


def step_lines(view: ExecutionView, redactor: Redactor) -> tuple[StepLine, ...]:
    """Return a line for each planned step, in order. Makes one query if a step has an error to show."""
    texts = step_texts(view, redactor)
    last = {past.step: past for past in view.history.attempts}
    open_ends = [last[step.name] for step in texts if step.name in last and step.status not in SETTLED]
    answers = _answers(view.execution, [past for past in open_ends if past.outcome is not Outcome.SUCCEEDED])
    return tuple(
        StepLine(
            step=step.name,
            status=step.status,
            sentence=step.sentence,
            at=last[step.name].finished_at if step.name in last else None,
            references=tuple(_references(view, step.name, redactor)),
            why=redactor(answers.get(step.name, "")),
            by_hand=by_hand(view, step.name, redactor),
        )
        for step in texts
    )


def error_text(error_type: str, message: str) -> str:
    """Return the text of an error, from its class name and message. The class is left out if the message is a sentence.

    The result is not redacted.
    """
    if error_type == LOST_LEASE:
        return gettext("A worker crashed during this attempt, or lost its connection.")
    if error_type in SENTENCE_ERRORS:
        return message or error_type
    return ": ".join(part for part in (error_type, message) if part)


def _answers(execution: SagaExecution, attempts: Iterable[PastAttempt]) -> dict[str, str]:
    """Load the error texts of these attempts and return them by step."""
    sequences = [past.sequence for past in attempts]
    if not sequences:
        return {}
    runs = execution.step_runs.using(database.alias()).filter(sequence__in=sequences)
    errors = runs.values_list("step", "error_type", "error_message")
    return {step: error_text(kind, message) for step, kind, message in errors}


def _references(view: ExecutionView, name: str, redactor: Redactor) -> Iterable[tuple[str, str]]:
    """Return the references that the step's action and compensation reported, as pairs of key and value."""
    facts = view.facts[name]
    undo = facts.last.get(Direction.COMPENSATION)
    reported: Mapping[str, Any] = {**(facts.output or {}), **(undo.output or {} if undo else {})}
    found = {key: reported.get(key) for key in view.references}
    usable = {key: str(value) for key, value in found.items() if isinstance(value, (str, int)) and str(value).strip()}
    return (redactor(usable) or {}).items()
