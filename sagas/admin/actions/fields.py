"""Form fields for the fields of a saga's schema. They accept any text, because the schema validates it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.utils import dateparse, timezone
from django.utils.translation import gettext
from rest_framework import serializers


def field_for(field: Any, stored: Any) -> forms.Field:
    """Return the form field for a field of a serializer, with the value `stored` as its initial value."""
    make = next((make for kinds, make in KINDS if isinstance(field, kinds)), json_field)
    return make(field, stored)


def json_field(_: Any, stored: Any, rows: int = 4, kind: type[JSONText] | None = None) -> forms.Field:
    """Return a text area that shows `stored` as JSON. Used for serializer fields without a form field of their own."""
    area = forms.Textarea(attrs={"rows": rows, "spellcheck": "false", "class": "saga-json"})
    text = None if stored is None else json.dumps(stored, indent=2, ensure_ascii=False)
    return (kind or JSONText)(initial=text, widget=area)


class Text(forms.CharField):
    """A text field that stores LF as line end. Browsers send CRLF."""

    def to_python(self, value: Any) -> str:
        """Return the text with normalized line ends."""
        return (super().to_python(value) or "").replace("\r\n", "\n")


class JSONText(Text):
    """A field for JSON text."""

    def clean(self, value: Any) -> Any:
        """Return the parsed JSON value; "" for empty text."""
        text = super().clean(value)
        try:
            return json.loads(text) if text else ""
        except RecursionError as error:
            raise forms.ValidationError(gettext("This is nested too deeply.")) from error
        except ValueError as error:
            raise forms.ValidationError(gettext("This is not JSON.")) from error


class JSONObject(JSONText):
    """A field for the text of a JSON object."""

    def clean(self, value: Any) -> Any:
        """Return the object as a dict; "" for empty text."""
        found = super().clean(value)
        if found and not isinstance(found, dict):
            raise forms.ValidationError(gettext("This must be a JSON object, with a value for each name."))
        return found


def _text(_: Any, stored: Any, widget: Any = None) -> forms.Field:
    """Return a text field. Without `widget` it is a text area if the stored value has several lines."""
    if widget is None:
        lines = isinstance(stored, str) and "\n" in stored
        widget = forms.Textarea(attrs={"rows": 4}) if lines else forms.TextInput
    return Text(initial=stored, widget=widget)


def _moment(_: Any, stored: Any) -> forms.Field:
    """Return a date and time picker in the current time zone.

    A stored value that the picker cannot show is edited as text.
    """
    moment = dateparse.parse_datetime(stored) if isinstance(stored, str) else None
    if stored is not None and (moment is None or moment.microsecond):
        return _text(_, stored)
    local = timezone.localtime(moment) if moment and timezone.is_aware(moment) else moment
    shown = local and local.strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00")
    return Text(initial=shown, widget=forms.TextInput(attrs={"type": "datetime-local", "step": "1"}))


def _choice(field: Any, stored: Any) -> forms.Field:
    """Return a selection of the field's choices, or of yes and no."""
    if isinstance(field, serializers.BooleanField):
        choices = [("true", gettext("Yes")), ("false", gettext("No"))]
        stored = {True: "true", False: "false"}.get(stored)
    else:
        choices = [(str(key), str(label)) for key, label in field.choices.items()]
    return forms.ChoiceField(choices=[("", "---------"), *choices], initial=stored)


# The first match wins; other kinds are edited as JSON.
KINDS: tuple[tuple[Any, Callable[[Any, Any], forms.Field]], ...] = (
    (serializers.MultipleChoiceField, json_field),
    ((serializers.ChoiceField, serializers.BooleanField), _choice),
    (serializers.EmailField, partial(_text, widget=forms.EmailInput)),
    (
        (serializers.IntegerField, serializers.FloatField, serializers.DecimalField),
        partial(_text, widget=forms.NumberInput(attrs={"step": "any"})),
    ),
    (serializers.DateTimeField, _moment),
    (serializers.DateField, partial(_text, widget=forms.TextInput(attrs={"type": "date"}))),
    ((serializers.CharField, serializers.UUIDField, serializers.TimeField, serializers.DurationField), _text),
)
