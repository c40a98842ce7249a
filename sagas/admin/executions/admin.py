"""The ModelAdmin of executions: list, search, and the URLs of all pages of an execution."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin.actions import views as actions
from sagas.admin.base import JSON_COLUMNS, NoStockPage, ReadOnly
from sagas.admin.bulk import views as bulk
from sagas.admin.bulk.views import BulkActions
from sagas.admin.case import views as case
from sagas.definition.states import UNFINISHED, SagaState
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.querysets import ExecutionQuerySet
from sagas.operations.permissions import EXPORT
from sagas.presentation import labels

from . import dates, export
from .changelist import ExecutionList
from .filters import FILTERS
from .rows import RowText

NOTHING = "–"
PK = re.compile(r"[0-9]{1,18}")
PARAMETERS = {*dates.PARTS, "state", *(each.parameter_name for each in FILTERS if hasattr(each, "parameter_name"))}


@admin.register(SagaExecution)
class SagaExecutionAdmin(BulkActions, NoStockPage, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """The list of executions."""

    list_display = ("what", "status", "about", "age")
    list_display_links = ("what",)
    list_filter = FILTERS
    list_per_page = 50
    sortable_by = ("age",)
    date_hierarchy = "created_at"
    search_fields = ("saga_id",)
    search_help_text = _(
        "Search by the full case ID or by a full reference, such as the customer's e-mail address or a provider's "
        "number. Capital letters do not matter."
    )
    ordering = ("-created_at",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/sagas/executions.html"
    actions = (*bulk.ACTIONS, export.export_selected)

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of our own pages before Django's."""
        return [*actions.urls(self), *bulk.urls(self), *case.urls(self), *export.urls(self), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[SagaExecution]:
        """Defer the JSON columns, so that a damaged column breaks only the pages that show it."""
        return super().get_queryset(request).defer(*JSON_COLUMNS)

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ExecutionList]:
        """Use the list that does not count all rows."""
        return ExecutionList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only the parameters of our filters. Other lookups could reveal hidden values."""
        return lookup in PARAMETERS

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find executions by saga id or reference. Only whole values match, because they have an index."""
        if search_term.strip() and isinstance(queryset, ExecutionQuerySet):
            return queryset.referring_to(search_term), False
        return queryset, False

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may export rows."""
        return bool(request.user.has_perm(EXPORT))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the list. If a search finds one execution, redirect to its page."""
        self._check_action(request)
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", None) or {}
        found: ExecutionList | None = shown.get("cl")
        if found is None:
            return response
        if found.query.strip() and found.result_count == len(found.result_list) == 1:
            return HttpResponseRedirect(found.url_for_result(found.result_list[0]))
        may_export = self.has_export_permission(request)
        shown |= {"title": capfirst(self.opts.verbose_name_plural), "columns": export.COLUMNS if may_export else {}}
        return response

    def _check_action(self, request: HttpRequest) -> None:
        """Refuse invalid selections and forbidden actions. Django would crash or ignore them silently."""
        if not all(PK.fullmatch(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("The selection is not valid. Select executions from the list.")
        known = {str(action.__name__) for action in self.actions}
        asked = {name for name in request.POST.getlist("action") if name in known}
        if asked - set(self.get_actions(request)):
            raise PermissionDenied

    @admin.display(description=_("customer's message"))
    def what(self, execution: Any) -> SafeString:
        """The customer's message and the saga's label."""
        texts: RowText = execution.texts
        return format_html('{} <span class="saga-kind">{}</span>', texts.sentence, texts.saga)

    @admin.display(description=_("customer and reference"))
    def about(self, execution: Any) -> SafeString | str:
        """The references, with their labels as tooltips."""
        texts: RowText = execution.texts
        pairs = ((labels.name_label(key), value) for key, value in texts.references)
        return format_html_join("", '<span class="saga-reference" title="{}">{}</span>', pairs) or NOTHING

    @admin.display(description=_("state and step"))
    def status(self, execution: Any) -> SafeString:
        """The state, attention flag, progress and failed step."""
        context = {"execution": execution, "progress": _progress(execution), "failed_step": execution.texts.failed_step}
        return render_to_string("admin/sagas/_status.html", context)

    @admin.display(description=_("started"), ordering="created_at")
    def age(self, execution: Any) -> SafeString:
        """How long ago the execution was started, and when its next attempt is due."""
        since = timesince(execution.created_at, CLOCK.by_host(), depth=1)
        started = _moment(execution.created_at, gettext("%(time)s ago") % {"time": since})
        return format_html('{} <span class="saga-kind">{}</span>', started, _next_attempt(execution))


def _progress(execution: Any) -> str:
    texts: RowText = execution.texts
    if not texts.planned:
        return ""
    numbers = {"done": texts.done, "step": min(texts.done + 1, texts.planned), "planned": texts.planned}
    if execution.state in (SagaState.PENDING, SagaState.IN_PROGRESS):
        return gettext("step %(step)d of %(planned)d") % numbers
    return gettext("%(done)d of %(planned)d done") % numbers


def _next_attempt(execution: Any) -> SafeString | str:
    due = execution.due_at
    if execution.state not in UNFINISHED or execution.held or due is None:
        return ""
    if execution.leased:
        return gettext("Running")
    if due <= CLOCK.by_host():
        return _moment(due, gettext("Next attempt now"))
    time = timeuntil(due, CLOCK.by_host(), depth=1)
    return _moment(due, gettext("Next attempt in %(time)s") % {"time": time})


def _moment(moment: dt.datetime, text: str) -> SafeString:
    """Return the text as HTML with the exact time as its tooltip."""
    local = timezone.localtime(moment)
    exact = formats.date_format(local, "SHORT_DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(), exact, text)
