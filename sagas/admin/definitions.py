"""The registered sagas, and whether their executions fit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga, SagaStep
from sagas.models import Definition, MissingSaga
from sagas.presentation.labels import label_of, name_label
from sagas.storage import database

from .base import Desk
from .diagrams import Diagram, diagram_of
from .inputs import Field, fields_of
from .unfinished import MOST, Unfinished, looked_at, unfinished_of


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
        found = looked_at()
        since = dict(MissingSaga.objects.using(database.alias()).values_list("name", "since"))
        names = sorted({*all_sagas(), *since, *(each.saga_name for each in found)})
        unfinished = {name: unfinished_of(name, found, since.get(name)) for name in names}
        shown = [_shown(saga, unfinished[name]) for name, saga in sorted(all_sagas().items())]
        gone = [each for name, each in unfinished.items() if name not in all_sagas() and (each.count or name in since)]
        cut = sum(each.count for each in found) == MOST
        return self.page(request, "admin/sagas/definitions.html", sagas=shown, gone=gone, cut=cut, most=MOST)


def _shown(saga: Saga, unfinished: Unfinished) -> Shown:
    # An empty text stands for the catalog's own header.
    description = gettext(saga.description) if saga.description else ""
    steps = [_step(step) for step in saga]
    return Shown(saga, name_label(saga.name), description, steps, diagram_of(saga), fields_of(saga), unfinished)


def _step(step: SagaStep) -> Step:
    calls = gettext("our own database") if step.transactional else "–"
    limit, retries = _seconds(step.timeout), step.retry_count
    return Step(step.name, label_of(step), calls, limit, retries, _undo(step), _remarks(step))


def _undo(step: SagaStep) -> str:
    if step.compensation is None:
        return gettext("Cannot be undone")
    words = ngettext(
        "Can be undone; at most %(limit)s, %(retries)d retry",
        "Can be undone; at most %(limit)s, %(retries)d retries",
        step.effective_compensation_retry_count,
    )
    return words % {
        "limit": _seconds(step.effective_compensation_timeout),
        "retries": step.effective_compensation_retry_count,
    }


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
