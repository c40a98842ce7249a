"""The registered sagas, and whether their executions fit them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.translation import gettext, ngettext

from sagas import database
from sagas.definition import Saga, SagaStep
from sagas.health import InFlight, in_flight
from sagas.models import Definition, MissingSaga, SagaExecution
from sagas.naming import name_in_words, title_of
from sagas.registry import all_sagas
from sagas.states import UNFINISHED

from .calls import provider_of
from .diagrams import Diagram, diagram_of
from .inputs import Field, fields_of
from .readonly import Desk

MOST = 10_000


@dataclass(frozen=True)
class Step:
    """A row of a saga's table."""

    name: str
    title: str
    calls: str
    limit: str
    retries: int
    undo: str
    remarks: list[str]


@dataclass(frozen=True)
class Unfinished:
    """A saga's unfinished executions, and since when no running worker has known it. `stranded` names the steps that
    today's code lacks, with how many executions were planned with each."""

    name: str
    count: int
    stranded: list[tuple[str, int]]
    unknown_since: dt.datetime | None

    @property
    def url(self) -> str:
        """The list of them."""
        asked = {"saga": self.name, "state": sorted(UNFINISHED)}
        return f"{reverse('admin:sagas_sagaexecution_changelist')}?{urlencode(asked, doseq=True)}"


@dataclass(frozen=True)
class Shown:
    """A registered saga as the page shows it."""

    saga: Saga
    title: str
    description: str
    steps: list[Step]
    diagram: Diagram
    fields: list[Field]
    unfinished: Unfinished


@admin.register(Definition)
class DefinitionAdmin(Desk):
    """The registered sagas, and whether their executions fit them."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = _in_flight()
        since = dict(MissingSaga.objects.using(database.alias()).values_list("name", "since"))
        names = sorted({*all_sagas(), *since, *(each.saga_name for each in found)})
        unfinished = {name: _unfinished(name, found, since.get(name)) for name in names}
        shown = [_shown(saga, unfinished[name]) for name, saga in sorted(all_sagas().items())]
        gone = [each for name, each in unfinished.items() if name not in all_sagas() and (each.count or name in since)]
        cut = sum(each.count for each in found) == MOST
        return self.page(request, "admin/sagas/definitions.html", sagas=shown, gone=gone, cut=cut, most=MOST)


def _in_flight() -> list[InFlight]:
    """Of unfinished executions the first that are found, by the index of states."""
    rows = SagaExecution.objects.using(database.alias())
    return in_flight(rows.filter(pk__in=rows.unfinished().order_by().values("pk")[:MOST]))


def _unfinished(name: str, found: list[InFlight], unknown_since: dt.datetime | None) -> Unfinished:
    mine = [each for each in found if each.saga_name == name]
    stranded: Counter[str] = Counter()
    for each in mine:
        if each.gone:
            stranded[each.gone] += each.count
    return Unfinished(name, sum(each.count for each in mine), sorted(stranded.items()), unknown_since)


def _shown(saga: Saga, unfinished: Unfinished) -> Shown:
    # An empty text stands for the catalog's own header.
    description = gettext(saga.description) if saga.description else ""
    steps = [_step(saga, step) for step in saga]
    return Shown(saga, name_in_words(saga.name), description, steps, diagram_of(saga), fields_of(saga), unfinished)


def _step(saga: Saga, step: SagaStep) -> Step:
    provider = provider_of(saga, step) if step.breaker else ""
    calls = gettext("our own database") if step.transactional else name_in_words(provider) if provider else "–"
    limit, retries = _seconds(step.timeout), step.retry_count
    return Step(step.name, title_of(step), calls, limit, retries, _undo(step), _remarks(step))


def _undo(step: SagaStep) -> str:
    if step.compensation is None:
        return gettext("Cannot be undone")
    words = ngettext(
        "Can be undone; at most %(limit)s, %(retries)d retry",
        "Can be undone; at most %(limit)s, %(retries)d retries",
        step.undo_retry_count,
    )
    return words % {"limit": _seconds(step.undo_timeout), "retries": step.undo_retry_count}


def _seconds(seconds: float) -> str:
    return gettext("%(seconds)s s") % {"seconds": number_format(f"{seconds:g}")}


def _remarks(step: SagaStep) -> list[str]:
    remarks = {
        gettext("Point of no return: once it is done, nothing is undone any more."): step.pivot,
        gettext("Optional: the saga goes on without it."): step.optional,
        gettext("It takes money from the customer; its undo gives it back."): bool(step.money and step.compensation),
        gettext("It takes money from the customer."): bool(step.money and not step.compensation),
        gettext("In doubt, its provider is asked what really happened."): step.verify is not None,
        gettext("In doubt, it is never called again."): not step.idempotent and not step.transactional,
    }
    return [remark for remark, holds in remarks.items() if holds]
