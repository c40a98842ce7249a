"""Isolate an execution whose row was damaged by hand, so that lists still show the others."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext

from sagas.definition.exceptions import UnreadableRow
from sagas.models import SagaExecution

JSON_COLUMNS = ("input", "context", "plan", "steps_completed")


def read_rows(executions: QuerySet[SagaExecution]) -> list[SagaExecution]:
    """Read the rows; one that cannot be read comes with empty JSON columns and the column's name in `unreadable`."""
    try:
        return list(executions.defer(None))
    except UnreadableRow:
        return [_with_json(row) for row in executions.defer(None).defer(*JSON_COLUMNS)]


def cannot_be_read(column: str) -> str:
    """Say which column cannot be read."""
    return gettext("This execution cannot be read: its column “%(column)s” is damaged. Ask an administrator.") % {
        "column": column
    }


def _with_json(row: SagaExecution) -> SagaExecution:
    try:
        row.refresh_from_db(fields=JSON_COLUMNS)
    except UnreadableRow as error:
        row.unreadable = (error.column,)
        row.input, row.context, row.plan, row.steps_completed = {}, {}, [], []
    return row
