"""The list as a file for a spreadsheet: a row at a time, however many there are."""

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

from sagas.definition.states import UNFINISHED, Priority
from sagas.engine.logs import log
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.operations.permissions import EXPORT, PERSONAL, VIEW
from sagas.presentation.redactor import Redactor, redactors_for

from . import rows
from .rows import Told

CHUNK = 500
# Before what a spreadsheet takes for a formula, or may once it has dropped what comes first; some read full-width signs
# too, and where commas are for decimals, as in Brazil, a semicolon begins another cell.
FORMULA = re.compile("(?:^|(?<=;))(?=[\t\n\r]|\\s*[-=+@\uff1d\uff0b\uff0d\uff20])")
# Without it spreadsheets take the file for one in another encoding.
BYTE_ORDER_MARK = "\ufeff"


COLUMNS = {
    "saga_id": _("The saga's id."),
    "saga": _("The saga's name."),
    "what": _("What the customer is told."),
    "references": _("What it can be found by, each with its name: the sale's number, the customer's e-mail and so on."),
    "state": _("pending, in_progress, compensating, succeeded, failed or partially_compensated."),
    "held": _("Why it waits until a person releases it."),
    "needs_attention": _("Whether a person has to look at it: yes or no."),
    "priority": _("low, normal or high."),
    "steps_done": _("How many steps are done."),
    "steps": _("How many steps it has."),
    "failed_step": _("The step whose failure has ended it."),
    "created_at": _("When it was started."),
    "started_at": _("When its current run began."),
    "finished_at": _("When its current run ended."),
    "duration_seconds": _("How long its current run took, until now if that has not ended."),
    "next_attempt_at": _("When it goes on."),
}


@admin.action(description=_("Export as CSV"), permissions=["export"])
def export_selected(_model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponseBase:
    """The rows that are selected."""
    return _file(request, queryset)


def urls(model_admin: Any) -> list[URLPattern]:
    """The export of the whole list, however it is narrowed down."""
    view = model_admin.admin_site.admin_view(partial(export_list, model_admin))
    return [path("export/", view, name="sagas_sagaexecution_export")]


def export_list(model_admin: Any, request: HttpRequest) -> StreamingHttpResponse:
    """All rows that the list would show with these parameters, on all its pages."""
    if not request.user.has_perms([VIEW, EXPORT]):
        raise PermissionDenied
    try:
        found = model_admin.get_changelist_instance(request)
    except IncorrectLookupParameters as error:
        # The list shows everything then; whoever asks for a part must not be given that as a file.
        raise BadRequest("There is no such list.") from error
    return _file(request, found.queryset)


def _file(request: HttpRequest, executions: ExecutionQuerySet) -> StreamingHttpResponse:
    name = f"sagas-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    response = StreamingHttpResponse(_lines(request, executions), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(request: HttpRequest, executions: ExecutionQuerySet) -> Iterator[str]:
    """The lines of the file; how many rows were made is logged, also where the download breaks off."""
    personal, count = request.user.has_perm(PERSONAL), 0
    writer = csv.writer(_Echo())
    try:
        yield BYTE_ORDER_MARK + writer.writerow(COLUMNS)
        for chunk in _chunks(executions):
            redactors = redactors_for(chunk, personal=personal)
            told = rows.tell(chunk, redactors)
            for row in chunk:
                count += 1
                cells = _cells(row, told[row.pk], redactors[row.pk])
                yield writer.writerow([_safe(value) for value in cells.values()])
    finally:
        log(logging.INFO, "export.made", by=request.user.get_username(), rows=count, personal=personal)


def _chunks(executions: ExecutionQuerySet) -> Iterator[list[SagaExecution]]:
    """The rows, newest first, a few at a time, each question beginning where the last one ended."""
    newest_first = rows.readable(executions).order_by("-created_at", "-pk")
    rest = newest_first
    while chunk := list(rest[:CHUNK]):
        yield chunk
        last = chunk[-1]
        older = newest_first.filter(created_at__lte=last.created_at)
        rest = older.exclude(created_at=last.created_at, pk__gte=last.pk)


def _cells(row: SagaExecution, told: Told, redactor: Redactor) -> dict[str, Any]:
    """The value of each of COLUMNS."""
    waits = row.state in UNFINISHED and not row.leased
    return {
        "saga_id": row.saga_id,
        "saga": row.saga_name,
        "what": told.sentence,
        "references": "; ".join(f"{key}: {value}" for key, value in told.references),
        "state": row.state.value,
        "held": redactor(row.held) if row.held else "",
        "needs_attention": "yes" if row.needs_attention else "no",
        "priority": Priority(row.priority).name.lower(),
        "steps_done": told.done,
        "steps": told.planned,
        "failed_step": row.failed_step,
        "created_at": _moment(row.created_at),
        "started_at": _moment(row.started_at),
        "finished_at": _moment(row.finished_at),
        "duration_seconds": round(row.duration(), 3) if row.started_at else "",
        "next_attempt_at": _moment(row.due_at) if waits else "",
    }


class _Echo:
    """What a csv.writer writes to, to have each line given back."""

    def write(self, line: str) -> str:
        return line


def _safe(value: Any) -> Any:
    """The value, as text where a spreadsheet would take it, or a part of it, for a formula."""
    return FORMULA.sub("'", value) if isinstance(value, str) else value


def _moment(moment: dt.datetime | None) -> str:
    return timezone.localtime(moment).isoformat(timespec="seconds") if moment else ""
