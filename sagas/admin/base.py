"""What the admin pages share: read-only base classes, URLs, and rows with a damaged JSON column."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext

from sagas.definition.exceptions import UnreadableRow
from sagas.models import SagaExecution
from sagas.operations.permissions import VIEW

JSON_COLUMNS = ("input", "context", "plan", "steps_completed")


class ReadOnly:
    """Mixin of a ModelAdmin: no user can add, change or delete its rows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, because only sagas write these rows."""
        return False

    has_change_permission = has_delete_permission = has_add_permission


class NoStockPage:
    """Mixin that disables Django's change page, which would show every column unredacted."""

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Raise Http404. Our own pages have their own URLs."""
        raise Http404


class Desk(NoStockPage, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Base class of a page in the admin index that is not a plain list of a table.

    Users need the permission to view executions.
    """

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Require the permission to view executions."""
        return bool(request.user.has_perm(VIEW))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the page in the index to users who may view it."""
        return self.has_view_permission(request)

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """Render a template of the page with the admin's header and navigation. `context` goes to the template."""
        frame = self.admin_site.each_context(request)
        title = capfirst(self.opts.verbose_name_plural)
        return TemplateResponse(request, template, {**frame, "title": title, "opts": self.opts, **context})


def executions_url(**parameters: Any) -> str:
    """Return the URL of the list of executions, filtered by these query parameters. A list gives several values."""
    return f"{reverse('admin:sagas_sagaexecution_changelist')}?{urlencode(parameters, doseq=True)}"


def read_rows(executions: QuerySet[SagaExecution]) -> list[SagaExecution]:
    """Load the rows, also those with a damaged JSON column.

    A damaged row has empty JSON columns, and the name of the damaged column in `unreadable`. Each row is loaded again
    if any is damaged.
    """
    try:
        return list(executions.defer(None))
    except UnreadableRow:
        rows = list(executions.defer(None).defer(*JSON_COLUMNS))
    for row in rows:
        try:
            row.refresh_from_db(fields=JSON_COLUMNS)
        except UnreadableRow as error:
            row.unreadable = (error.column,)
            row.input, row.context, row.plan, row.steps_completed = {}, {}, [], []
    return rows


def cannot_be_read(column: str) -> str:
    """Return the sentence which tells the user that this column of the execution is damaged."""
    return gettext("This execution cannot be read: its column “%(column)s” is damaged. Ask an administrator.") % {
        "column": column
    }
