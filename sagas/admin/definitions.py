"""The page of saga definitions: steps, diagram, input, and executions that the current code cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga, SagaStep
from sagas.models import Definition, MissingSaga
from sagas.presentation.labels import label_of, name_label
from sagas.storage import database

from .base import Desk
from .diagrams import Diagram, diagram_of
from .unfinished import MOST, Unfinished, sampled, unfinished_of


@dataclass(frozen=True)
class Step:
    """A row of a saga's table of steps."""

    name: str
    title: str
    calls: str
    limit: str
    retries: int
    compensation: str
    properties: list[str]


@dataclass(frozen=True)
class Field:
    """A field of a saga's input."""

    name: str
    label: str
    kind: str
    required: bool
    personal: bool


@dataclass(frozen=True)
class ShownSaga:
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
    """The page of registered sagas."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the page: registered sagas, and unregistered ones that have unfinished executions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = sampled()
        since = dict(MissingSaga.objects.using(database.alias()).values_list("name", "since"))
        names = sorted({*all_sagas(), *since, *(each.saga_name for each in found)})
        unfinished = {name: unfinished_of(name, found, since.get(name)) for name in names}
        shown = [_shown(saga, unfinished[name]) for name, saga in sorted(all_sagas().items())]
        gone = [each for name, each in unfinished.items() if name not in all_sagas() and (each.count or name in since)]
        cut = sum(each.count for each in found) == MOST
        return self.page(request, "admin/sagas/definitions.html", sagas=shown, gone=gone, cut=cut, most=MOST)


def _shown(saga: Saga, unfinished: Unfinished) -> ShownSaga:
    steps = []
    for step in saga:
        calls = gettext("our own database") if step.transactional else "–"
        limit, compensation = _seconds(step.timeout), _compensation(step)
        row = Step(step.name, label_of(step), calls, limit, step.retry_count, compensation, _properties(step))
        steps.append(row)
    # Do not translate "": gettext("") returns the header of the catalogue.
    description = gettext(saga.description) if saga.description else ""
    return ShownSaga(saga, name_label(saga.name), description, steps, diagram_of(saga), fields_of(saga), unfinished)


def _compensation(step: SagaStep) -> str:
    if step.compensation is None:
        return gettext("Cannot be undone")
    sentence = ngettext(
        "Can be undone; at most %(limit)s, %(retries)d retry",
        "Can be undone; at most %(limit)s, %(retries)d retries",
        step.effective_compensation_retry_count,
    )
    return sentence % {
        "limit": _seconds(step.effective_compensation_timeout),
        "retries": step.effective_compensation_retry_count,
    }


def _seconds(seconds: float) -> str:
    return gettext("%(seconds)s s") % {"seconds": number_format(f"{seconds:g}")}


def _properties(step: SagaStep) -> list[str]:
    properties = {
        gettext("Point of no return: once it is done, nothing can be undone."): step.pivot,
        gettext("Optional: if it fails, the saga continues."): step.optional,
        gettext("Charges the customer; undoing it refunds them."): bool(step.money and step.compensation),
        gettext("Charges the customer."): bool(step.money and not step.compensation),
        gettext("If in doubt, its provider is asked what really happened."): step.verify is not None,
        gettext("If in doubt, it is never called again."): not step.idempotent and not step.transactional,
    }
    return [sentence for sentence, applies in properties.items() if applies]


def fields_of(saga: Saga) -> list[Field]:
    """Return the writable fields of the saga's input in the order of its schema; [] without a schema."""
    found = saga.schema().fields if saga.schema else {}
    return [
        Field(name, name_label(name), _kind(field), field.required, name in saga.personal)
        for name, field in found.items()
        if not field.read_only
    ]


def _kind(field: Any) -> str:
    """Describe in words which values the field accepts."""
    if isinstance(field, serializers.ChoiceField):
        several = isinstance(field, serializers.MultipleChoiceField)
        sentence = gettext("several of: %(choices)s") if several else gettext("one of: %(choices)s")
        return sentence % {"choices": ", ".join(str(label) for label in field.choices.values())}
    if isinstance(field, serializers.DecimalField):
        return gettext("number with %(places)d decimal places") % {"places": field.decimal_places or 0}
    kind = next(kind for classes, kind in KINDS if isinstance(field, classes))
    if kind is TEXT and field.max_length is not None:
        return gettext("text of at most %(length)d characters") % {"length": field.max_length}
    return str(kind)


TEXT = _("text")
# The first match wins.
KINDS: tuple[tuple[Any, Promise], ...] = (
    (serializers.BooleanField, _("yes or no")),
    (serializers.EmailField, _("e-mail address")),
    (serializers.URLField, _("web address")),
    (serializers.UUIDField, _("UUID")),
    (serializers.CharField, TEXT),
    (serializers.IntegerField, _("whole number")),
    (serializers.FloatField, _("number")),
    (serializers.DateTimeField, _("date and time")),
    (serializers.DateField, _("date")),
    (serializers.TimeField, _("time of day")),
    (serializers.DurationField, _("duration")),
    ((serializers.ListField, serializers.ListSerializer), _("list")),
    (object, _("structured value")),
)
