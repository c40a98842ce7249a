"""Reads what belongs to a case in a fixed number of queries, also where a column holds what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model, QuerySet

from sagas.admin.unreadable import OF_EXECUTIONS, as_texts, mended
from sagas.definition.exceptions import UnreadableRow
from sagas.definition.registry import all_sagas
from sagas.engine.history import past_attempt
from sagas.engine.leased_execution import load_history
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.presentation.execution_view import ExecutionView
from sagas.storage import database

Row = TypeVar("Row", bound=Model)

OF_STEP_RUNS = ("output", "changes")
ATTEMPTS_SHOWN = 300
EVENTS_SHOWN = 200


@dataclass(frozen=True)
class File:
    """All that a case's page tells of; `attempts` are the newest of `all_attempts` before a sequence, oldest first.

    `operable` says whether an operation could read it.
    """

    view: ExecutionView
    operable: bool
    attempts: list[StepRun]
    all_attempts: int
    events: list[SagaEvent]
    before: int | None

    @property
    def unreadable(self) -> bool:
        """Whether anything is left out because it cannot be read."""
        return _damaged(self.view.execution, *self.attempts, *self.events)


def read(pk: int, *, before: int | None = None) -> File | None:
    """The file; None if there is no such execution."""
    rows = _read(SagaExecution.objects.using(database.alias()).filter(pk=pk), OF_EXECUTIONS)
    if not rows:
        return None
    execution, runs = rows[0], rows[0].step_runs.using(database.alias())
    now = _read(runs.filter(run=execution.run).defer("changes").order_by("sequence"), ("output",))
    shown = runs.filter(sequence__lt=before) if before else runs
    attempts = _read(shown.order_by("-sequence")[:ATTEMPTS_SHOWN], OF_STEP_RUNS)
    history = load_history(execution, tuple(past_attempt(run) for run in now))
    return File(
        view=ExecutionView(execution, all_sagas().get(execution.saga_name), history),
        operable=not _damaged(execution, *now),
        attempts=attempts[::-1],
        all_attempts=runs.count(),
        events=_read(execution.events.using(database.alias()).order_by("-id")[:EVENTS_SHOWN], ("data",)),
        before=before,
    )


def _read(rows: QuerySet[Row], columns: tuple[str, ...]) -> list[Row]:
    """The rows; where one of them cannot be read, all of them with these columns only where they can be."""
    try:
        return list(rows)
    except UnreadableRow:
        return [mended(row, columns) for row in as_texts(rows, columns)]


def _damaged(*rows: Model) -> bool:
    """Whether a column of any of them cannot be read."""
    return any(getattr(row, "unreadable", ()) for row in rows)
