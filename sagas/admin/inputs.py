"""What a saga takes, in words: each field of its schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from sagas.definition.saga import Saga
from sagas.presentation.labels import name_label


@dataclass(frozen=True)
class Field:
    """A field of the input."""

    name: str
    label: str
    kind: str
    required: bool
    personal: bool


def fields_of(saga: Saga) -> list[Field]:
    """The fields in order; none where the saga has no schema."""
    found = saga.schema().fields if saga.schema else {}
    return [
        Field(name, name_label(name), _kind(field), field.required, name in saga.personal)
        for name, field in found.items()
        if not field.read_only
    ]


def _kind(field: Any) -> str:
    words = next(words for kinds, words in KINDS if isinstance(field, kinds))
    return words(field) if callable(words) else str(words)


def _one_of(field: Any) -> str:
    return gettext("one of: %(choices)s") % {"choices": ", ".join(str(label) for label in field.choices.values())}


def _several_of(field: Any) -> str:
    return gettext("several of: %(choices)s") % {"choices": ", ".join(str(label) for label in field.choices.values())}


def _text(field: Any) -> str:
    if field.max_length is None:
        return gettext("text")
    return gettext("text of at most %(length)d characters") % {"length": field.max_length}


def _decimal(field: Any) -> str:
    return gettext("number with %(places)d decimal places") % {"places": field.decimal_places or 0}


# The first that fits.
KINDS: tuple[tuple[Any, Promise | Callable[[Any], str]], ...] = (
    (serializers.MultipleChoiceField, _several_of),
    (serializers.ChoiceField, _one_of),
    (serializers.BooleanField, _("yes or no")),
    (serializers.EmailField, _("e-mail address")),
    (serializers.URLField, _("web address")),
    (serializers.UUIDField, _("UUID")),
    (serializers.CharField, _text),
    (serializers.IntegerField, _("whole number")),
    (serializers.DecimalField, _decimal),
    (serializers.FloatField, _("number")),
    (serializers.DateTimeField, _("date and time")),
    (serializers.DateField, _("date")),
    (serializers.TimeField, _("time of day")),
    (serializers.DurationField, _("duration")),
    ((serializers.ListField, serializers.ListSerializer), _("list")),
    (object, _("structured value")),
)
