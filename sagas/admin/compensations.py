"""The page of open compensations, oldest execution first, with the operations on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.registry import all_sagas
from sagas.definition.states import Direction, Outcome, SagaState
from sagas.models import Compensation, MissingSaga, SagaExecution, StepRun
from sagas.operations import Operation, guards
from sagas.operations.permissions import PERSONAL
from sagas.presentation.execution_view import ExecutionView, load_views
from sagas.presentation.labels import name_label
from sagas.presentation.redactor import redactor_for
from sagas.storage import database

from .actions.buttons import as_sentence, may
from .base import Desk
from .open_compensations import Kind, OpenCompensation, open_compensations

PAGE = 25
KINDS = [
    ("", _("All open")),
    (Kind.PENDING.value, _("Pending")),
    (Kind.DEFERRED.value, _("Provider unavailable")),
    (Kind.FAILED.value, _("Failed")),
    (Kind.IN_DOUBT.value, _("In doubt")),
]
OPERATIONS = {Operation.RETRY: _("Undo again"), Operation.RESOLVE: _("Mark a step as resolved")}


class Filters(forms.Form):
    """The filters of the page: the kind of compensation, and the saga."""

    kind = forms.ChoiceField(label=_("Status"), choices=KINDS, required=False)
    saga = forms.ChoiceField(label=_("Kind"), required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        missing = MissingSaga.objects.using(database.alias()).values_list("name", flat=True)
        names = sorted({*all_sagas(), *missing})
        field = cast("forms.ChoiceField", self.fields["saga"])
        field.choices = [("", _("All kinds")), *((name, name_label(name)) for name in names)]


@dataclass(frozen=True)
class Link:
    """An operation on an execution: its URL, or the reason why it is blocked."""

    label: str
    url: str = ""
    why_not: str = ""


@dataclass(frozen=True)
class Page:
    """Open compensations with their operations, and executions that cannot be read.

    `last` is the primary key after which the next page starts, None on the last page.
    """

    compensations: list[tuple[OpenCompensation, list[Link]]]
    unreadable: list[SagaExecution]
    last: int | None


@admin.register(Compensation)
class CompensationAdmin(Desk):
    """The page of open compensations."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the page. Invalid filters are ignored; an unknown `after` is 404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        filters = Filters(request.GET)
        values = filters.cleaned_data if filters.is_valid() else {"kind": "", "saga": ""}
        page = _page(request, values["kind"], values["saga"])
        more = urlencode({**values, "after": page.last}) if page.last else ""
        template = "admin/sagas/compensations.html"
        return self.page(request, template, filters=filters, page=page, more=more, later="after" in request.GET)


def _page(request: HttpRequest, kind: str, saga: str) -> Page:
    executions = _rolling_back(kind, saga)
    keys = _keys(executions, request.GET.get("after", ""))
    views = load_views(executions, keys[:PAGE])
    personal = request.user.has_perm(PERSONAL)
    shown = []
    for view in views:
        redactor = redactor_for(view.execution, view.saga, personal=personal, events=view.events)
        links = [_link(request, operation, view) for operation in OPERATIONS]
        shown += [(one, links) for one in open_compensations(view, redactor) if not kind or one.kind == kind]
    missing = set(keys[:PAGE]) - {view.execution.pk for view in views}
    unreadable = executions.filter(pk__in=missing).only("pk", "saga_id", "saga_name") if missing else ()
    return Page(shown, list(unreadable), keys[PAGE - 1] if len(keys) > PAGE else None)


def _rolling_back(kind: str, saga: str) -> QuerySet[SagaExecution]:
    """Select the executions that may have an open compensation of this kind; "" = any kind.

    Only their histories tell which of them have one.
    """
    executions = SagaExecution.objects.using(database.alias())
    tried = StepRun.objects.filter(
        execution=OuterRef("pk"), run=OuterRef("run"), direction=Direction.COMPENSATION.value
    )
    in_doubt = [Outcome.UNCERTAIN.value, Outcome.PENDING.value]
    conditions: dict[str, Q] = {
        Kind.PENDING: Q(state=SagaState.COMPENSATING),
        Kind.DEFERRED: Q(state=SagaState.COMPENSATING) & Q(Exists(tried)),
        Kind.FAILED: Q(state=SagaState.PARTIALLY_COMPENSATED) | Q(Exists(tried.exclude(ending=""))),
        Kind.IN_DOUBT: Q(Exists(tried.filter(outcome__in=in_doubt))),
    }
    found = executions.filter(conditions[kind]) if kind else executions.all()
    return found.filter(saga_name=saga) if saga else found


def _keys(executions: QuerySet[SagaExecution], after: str) -> list[int]:
    """Return the primary keys of the executions on a page and of one more, oldest first.

    The page starts after the execution with the key `after`. Raises Http404 if there is no such key. Each state has its
    own query, which uses the index; one query for both states would sort all rows.
    """
    since = Q()
    if after:
        if not (after.isascii() and after.isdecimal() and len(after) < 19):
            raise Http404
        at = SagaExecution.objects.using(database.alias()).filter(pk=after).values_list("created_at", flat=True).first()
        if at is None:
            raise Http404
        since = Q(created_at__gte=at) & ~Q(created_at=at, pk__lte=int(after))
    found: list[tuple[Any, int]] = []
    for state in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED):
        rows = executions.filter(since, state=state).order_by("created_at", "id")
        found += rows.values_list("created_at", "pk")[: PAGE + 1]
    return [key for _at, key in sorted(found)[: PAGE + 1]]


def _link(request: HttpRequest, operation: Operation, view: ExecutionView) -> Link:
    label, why_not = str(OPERATIONS[operation]), guards.why_not(operation, view)
    if why_not:
        return Link(label, why_not=as_sentence(why_not))
    if not may(request, operation, view.execution):
        return Link(label, why_not=gettext("Your role does not allow this. Ask a supervisor."))
    url = reverse("admin:sagas_sagaexecution_operation", args=[view.execution.pk, operation.value])
    return Link(label, url)
