"""Export executions as CSV, streamed row by row."""

from __future__ import annotations

import csv
import datetime as dt
import logging
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sagas.admin.base import read_rows
from sagas.definition.states import UNFINISHED, Priority
from sagas.engine.logs import log
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.operations.permissions import EXPORT, PERSONAL, VIEW
from sagas.presentation.redactor import Redactor, redactors_for

from . import rows
from .rows import RowText

CHUNK = 500
# The places where a spreadsheet would read the start of a formula: after white space, which it drops, and also with
# full-width signs. In countries with decimal commas, a semicolon starts another cell.
FORMULA = re.compile("(?:^|(?<=;))(?=[\t\n\r]|\\s*[-=+@\uff1d\uff0b\uff0d\uff20])")
# Spreadsheets recognise UTF-8 by this character.
BYTE_ORDER_MARK = "\ufeff"


COLUMNS = {
    "saga_id": _("The case ID."),
    "saga": _("The saga's name."),
    "what": _("The customer's message."),
    "references": _("The references to search by, each with its name."),
    "state": _("pending, in_progress, compensating, succeeded, failed or partially_compensated."),
    "held": _("Why it is on hold."),
    "needs_attention": _("Whether it needs attention: yes or no."),
    "priority": _("low, normal or high."),
    "steps_done": _("How many steps are done."),
    "steps": _("How many steps it has."),
    "failed_step": _("The step that failed."),
    "created_at": _("When it was started."),
    "started_at": _("When its current run started."),
    "finished_at": _("When its current run ended."),
    "duration_seconds": _("How long its current run took, or has taken so far."),
    "next_attempt_at": _("When its next attempt is due."),
}


@admin.action(description=_("Export as CSV"), permissions=["export"])
def export_selected(_model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponseBase:
    """Return the selected rows as a CSV file. Personal values are hidden unless the user may see them."""
    return _csv_response(request, queryset)


def urls(model_admin: Any) -> list[URLPattern]:
    """Return the URL pattern of the export of the whole filtered list."""
    view = model_admin.admin_site.admin_view(partial(export_list, model_admin))
    return [path("export/", view, name="sagas_sagaexecution_export")]


def export_list(model_admin: Any, request: HttpRequest) -> StreamingHttpResponse:
    """Export every row that the list has for these query parameters, on all pages.

    Raises BadRequest if a parameter is not valid, and PermissionDenied without the export permission.
    """
    if not request.user.has_perms([VIEW, EXPORT]):
        raise PermissionDenied
    try:
        found = model_admin.get_changelist_instance(request)
    except IncorrectLookupParameters as error:
        # For invalid parameters the list shows everything. An export must not do that.
        raise BadRequest("The filters are not valid.") from error
    return _csv_response(request, found.queryset)


def _csv_response(request: HttpRequest, executions: ExecutionQuerySet) -> StreamingHttpResponse:
    name = f"sagas-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    response = StreamingHttpResponse(_lines(request, executions), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(request: HttpRequest, executions: ExecutionQuerySet) -> Iterator[str]:
    """Yield the lines of the file. Log the number of exported rows, even if the download is interrupted."""
    personal, count = request.user.has_perm(PERSONAL), 0
    writer = csv.writer(_Echo())
    try:
        yield BYTE_ORDER_MARK + writer.writerow(COLUMNS)
        for chunk in _chunks(executions):
            redactors = redactors_for(chunk, personal=personal)
            texts = rows.texts_of(chunk, redactors)
            for row in chunk:
                count += 1
                cells = _cells(row, texts[row.pk], redactors[row.pk]).values()
                # An apostrophe makes a spreadsheet show the text instead of executing it as a formula.
                yield writer.writerow([FORMULA.sub("'", cell) if isinstance(cell, str) else cell for cell in cells])
    finally:
        log(logging.INFO, "export.made", by=request.user.get_username(), rows=count, personal=personal)


def _chunks(executions: ExecutionQuerySet) -> Iterator[list[SagaExecution]]:
    """Yield the rows in chunks, newest first. Each query starts after the last row of the chunk before."""
    newest_first = executions.order_by("-created_at", "-pk")
    rest = newest_first
    while chunk := read_rows(rest[:CHUNK]):
        yield chunk
        last = chunk[-1]
        older = newest_first.filter(created_at__lte=last.created_at)
        rest = older.exclude(created_at=last.created_at, pk__gte=last.pk)


def _cells(row: SagaExecution, texts: RowText, redactor: Redactor) -> dict[str, Any]:
    """Return the value of each column."""
    waits = row.state in UNFINISHED and not row.leased
    return {
        "saga_id": row.saga_id,
        "saga": row.saga_name,
        "what": texts.sentence,
        "references": "; ".join(f"{key}: {value}" for key, value in texts.references),
        "state": row.state.value,
        "held": redactor(row.held) if row.held else "",
        "needs_attention": "yes" if row.needs_attention else "no",
        "priority": Priority(row.priority).name.lower(),
        "steps_done": texts.done,
        "steps": texts.planned,
        "failed_step": row.failed_step,
        "created_at": _moment(row.created_at),
        "started_at": _moment(row.started_at),
        "finished_at": _moment(row.finished_at),
        "duration_seconds": round(row.duration(), 3) if row.started_at else "",
        "next_attempt_at": _moment(row.due_at) if waits else "",
    }


class _Echo:
    """A file that returns what is written to it. Therefore csv.writer returns each line."""

    def write(self, line: str) -> str:
        return line


def _moment(moment: dt.datetime | None) -> str:
    return timezone.localtime(moment).isoformat(timespec="seconds") if moment else ""
