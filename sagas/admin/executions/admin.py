"""The list of executions, and the file of each case."""

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

from sagas.admin.actions import views as acts
from sagas.admin.base import NoStockPage, ReadOnly
from sagas.admin.bulk import views as bulk
from sagas.admin.bulk.views import Bulk
from sagas.admin.case import views as case
from sagas.admin.unreadable import OF_EXECUTIONS
from sagas.definition.states import UNFINISHED
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.querysets import ExecutionQuerySet
from sagas.operations.permissions import EXPORT
from sagas.presentation import labels

from . import dates as days
from . import export
from .changelist import ExecutionList
from .desk_filters import DESK_FILTERS
from .filters import FILTERS
from .rows import Told, under_way

NOTHING = "–"
PK = re.compile(r"[0-9]{1,18}")
ALL_FILTERS = (*FILTERS, *DESK_FILTERS)
PARAMETERS = {*days.PARTS, "state", *(each.parameter_name for each in ALL_FILTERS if hasattr(each, "parameter_name"))}


@admin.register(SagaExecution)
class SagaExecutionAdmin(Bulk, NoStockPage, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Executions with their history."""

    list_display = ("what", "standing", "about", "age")
    list_display_links = ("what",)
    list_filter = ALL_FILTERS
    list_per_page = 50
    sortable_by = ("age",)
    date_hierarchy = "created_at"
    search_fields = ("saga_id",)
    search_help_text = _(
        "Finds the whole of: the customer's e-mail, the sale's number, a provider's reference (payment, invoice, "
        "calendar event) or the case's id. Capital letters and spaces around it do not matter."
    )
    ordering = ("-created_at",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/sagas/executions.html"
    actions = (*bulk.ACTIONS, export.export_selected)

    def get_urls(self) -> list[URLPattern]:
        """Our own pages before the stock ones."""
        return [*acts.urls(self), *bulk.urls(self), *case.urls(self), *export.urls(self), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[SagaExecution]:
        """Without what is not shown: one row that cannot be read would take the whole list with it."""
        return super().get_queryset(request).defer(*OF_EXECUTIONS)

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ExecutionList]:
        """Ours, which does not count."""
        return ExecutionList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """What the filters ask for; any other column would be read through, or would answer who may not see it."""
        return lookup in PARAMETERS

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """By saga id or reference; whole values, for these have an index."""
        if search_term.strip() and isinstance(queryset, ExecutionQuerySet):
            return queryset.referring_to(search_term), False
        return queryset, False

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the reader may take rows away."""
        return bool(request.user.has_perm(EXPORT))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; a search that finds one execution leads to its case."""
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
        """Django does nothing, and says nothing, where somebody sends an action that they may not take; and it breaks
        at a selection that cannot be one."""
        if not all(PK.fullmatch(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("What is selected are no executions.")
        known = {str(action.__name__) for action in self.actions}
        asked = {name for name in request.POST.getlist("action") if name in known}
        if asked - set(self.get_actions(request)):
            raise PermissionDenied

    @admin.display(description=_("what the customer is told"))
    def what(self, execution: Any) -> SafeString:
        """The customer's sentence, and the saga's name in words."""
        told: Told = execution.told
        return format_html('{} <span class="saga-kind">{}</span>', told.sentence, told.saga)

    @admin.display(description=_("customer and reference"))
    def about(self, execution: Any) -> SafeString | str:
        """What it can be found by."""
        told: Told = execution.told
        pairs = ((labels.name_label(key), value) for key, value in told.references)
        return format_html_join("", '<span class="saga-reference" title="{}">{}</span>', pairs) or NOTHING

    @admin.display(description=_("state and step"))
    def standing(self, execution: Any) -> SafeString:
        """Its state, whether somebody has to look at it, how far it is, and the step whose failure has ended it."""
        told = {"execution": execution, "progress": _progress(execution), "failed_step": execution.told.failed_step}
        return render_to_string("admin/sagas/_status.html", told)

    @admin.display(description=_("started"), ordering="created_at")
    def age(self, execution: Any) -> SafeString:
        """How long ago it was started, and when it goes on."""
        since = timesince(execution.created_at, CLOCK.by_host(), depth=1)
        started = _moment(execution.created_at, gettext("%(time)s ago") % {"time": since})
        return format_html('{} <span class="saga-kind">{}</span>', started, _next_attempt(execution))


def _progress(execution: Any) -> str:
    told: Told = execution.told
    if not told.planned:
        return ""
    numbers = {"done": told.done, "step": min(told.done + 1, told.planned), "planned": told.planned}
    if under_way(execution):
        return gettext("step %(step)d of %(planned)d") % numbers
    return gettext("%(done)d of %(planned)d done") % numbers


def _next_attempt(execution: Any) -> SafeString | str:
    due = execution.due_at
    if execution.state not in UNFINISHED or execution.held or due is None:
        return ""
    if execution.leased:
        return gettext("Under way")
    if due <= CLOCK.by_host():
        return _moment(due, gettext("Next attempt now"))
    time = timeuntil(due, CLOCK.by_host(), depth=1)
    return _moment(due, gettext("Next attempt in %(time)s") % {"time": time})


def _moment(moment: dt.datetime, words: str) -> SafeString:
    """The words, and the moment itself for who points at them."""
    local = timezone.localtime(moment)
    exact = formats.date_format(local, "SHORT_DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(), exact, words)
