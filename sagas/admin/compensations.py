"""The undos that are open, the longest waiting first: how each stands, and what may be done about it."""

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
from sagas.presentation.redactor import Redactor, redactor_for
from sagas.storage import database

from .actions.buttons import as_sentence, may
from .base import Desk
from .open_compensations import Kind, Undo, undos_of

PAGE = 25
KINDS = [
    ("", _("All that are open")),
    (Kind.PENDING.value, _("Pending")),
    (Kind.DEFERRED.value, _("Set aside")),
    (Kind.FAILED.value, _("Failed for good")),
    (Kind.IN_DOUBT.value, _("In doubt")),
]
ACTS = {Operation.RETRY: _("Undo again"), Operation.RESOLVE: _("Resolve a step by hand")}


class Filters(forms.Form):
    """Which of the undos are asked for."""

    kind = forms.ChoiceField(label=_("Undos"), choices=KINDS, required=False)
    saga = forms.ChoiceField(label=_("Kind"), required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        gone = MissingSaga.objects.using(database.alias()).values_list("name", flat=True)
        names = sorted({*all_sagas(), *gone})
        field = cast("forms.ChoiceField", self.fields["saga"])
        field.choices = [("", _("All kinds")), *((name, name_label(name)) for name in names)]


@dataclass(frozen=True)
class Way:
    """An act on an undo: where to, or why not."""

    label: str
    url: str = ""
    why_not: str = ""


@dataclass(frozen=True)
class Page:
    """The open undos of some executions with what may be done about each, and those that cannot be read."""

    undos: list[tuple[Undo, list[Way]]]
    unreadable: list[SagaExecution]
    last: int | None


@admin.register(Compensation)
class CompensationAdmin(Desk):
    """The undos that are open."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        filters = Filters(request.GET)
        wanted = filters.cleaned_data if filters.is_valid() else {"kind": "", "saga": ""}
        page = _page(request, wanted["kind"], wanted["saga"])
        more = urlencode({**wanted, "after": page.last}) if page.last else ""
        template = "admin/sagas/compensations.html"
        return self.page(request, template, filters=filters, page=page, more=more, later="after" in request.GET)


def _page(request: HttpRequest, kind: str, saga: str) -> Page:
    executions = _rolling_back(kind, saga)
    keys = _keys(executions, request.GET.get("after", ""))
    looked = load_views(executions, keys[:PAGE])
    undos = [(undo, _ways(request, one, undo)) for one in looked for undo in undos_of(one, _redactor(request, one))]
    lost = set(keys[:PAGE]) - {one.execution.pk for one in looked}
    unreadable = executions.filter(pk__in=lost).only("pk", "saga_id", "saga_name") if lost else ()
    shown = [pair for pair in undos if not kind or pair[0].kind == kind]
    return Page(shown, list(unreadable), keys[PAGE - 1] if len(keys) > PAGE else None)


def _redactor(request: HttpRequest, view: ExecutionView) -> Redactor:
    personal = request.user.has_perm(PERSONAL)
    return redactor_for(view.execution, view.saga, personal=personal, events=view.events)


def _rolling_back(kind: str, saga: str) -> QuerySet[SagaExecution]:
    """Executions that may have an undo of this kind; which undos those are, their histories tell."""
    executions = SagaExecution.objects.using(database.alias())
    tried = StepRun.objects.filter(
        execution=OuterRef("pk"), run=OuterRef("run"), direction=Direction.COMPENSATION.value
    )
    doubtful = [Outcome.UNCERTAIN.value, Outcome.PENDING.value]
    may_have: dict[str, Q] = {
        Kind.PENDING: Q(state=SagaState.COMPENSATING),
        Kind.DEFERRED: Q(state=SagaState.COMPENSATING) & Q(Exists(tried)),
        Kind.FAILED: Q(state=SagaState.PARTIALLY_COMPENSATED) | Q(Exists(tried.exclude(ending=""))),
        Kind.IN_DOUBT: Q(Exists(tried.filter(outcome__in=doubtful))),
    }
    found = executions.filter(may_have[kind]) if kind else executions.all()
    return found.filter(saga_name=saga) if saga else found


def _keys(executions: QuerySet[SagaExecution], after: str) -> list[int]:
    """One more than a page of their primary keys, the oldest first. By state, each by its index: together they would be
    sorted, all of them."""
    since = _place(after)
    found: list[tuple[Any, int]] = []
    for state in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED):
        rows = executions.filter(since, state=state).order_by("created_at", "id")
        found += rows.values_list("created_at", "pk")[: PAGE + 1]
    return [key for _at, key in sorted(found)[: PAGE + 1]]


def _place(after: str) -> Q:
    """Those behind the execution with this primary key; 404 where there is none."""
    if not after:
        return Q()
    if not (after.isascii() and after.isdecimal() and len(after) < 19):
        raise Http404
    at = SagaExecution.objects.using(database.alias()).filter(pk=after).values_list("created_at", flat=True).first()
    if at is None:
        raise Http404
    return Q(created_at__gte=at) & ~Q(created_at=at, pk__lte=int(after))


def _ways(request: HttpRequest, looked: ExecutionView, undo: Undo) -> list[Way]:
    return [_way(request, operation, looked, undo) for operation in ACTS]


def _way(request: HttpRequest, operation: Operation, view: ExecutionView, undo: Undo) -> Way:
    label, why_not = str(ACTS[operation]), guards.why_not(operation, view)
    if why_not:
        return Way(label, why_not=as_sentence(why_not))
    if not may(request, operation, view.execution):
        return Way(label, why_not=gettext("Your role may not do this: ask a supervisor."))
    url = reverse("admin:sagas_sagaexecution_operation", args=[undo.execution.pk, operation.value])
    return Way(label, f"{url}?{urlencode({'step': undo.step})}" if operation is Operation.RESOLVE else url)
