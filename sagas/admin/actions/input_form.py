"""A form for a saga's input, built from its schema. Without a schema it is one JSON field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from sagas.definition.exceptions import InvalidInput
from sagas.definition.saga import Saga
from sagas.models import SagaExecution
from sagas.presentation.redactor import redactor_for

from .fields import JSONObject, field_for, json_field

PREFIX = "input"
VERSION = ":version"  # no field of a schema has this name
WHOLE = "json"
HIDDEN = _("Hidden from your role. Leave it empty to keep it.")
SOME_HIDDEN = _("Values that are hidden from your role are not shown, and are kept.")


class InputForm(forms.Form):
    """The current input, for a correction.

    If `personal` is false, personal values are not shown, and a field left empty keeps its value.
    """

    def __init__(self, saga: Saga, execution: SagaExecution, *, personal: bool, data: Any = None) -> None:
        super().__init__(data, prefix=PREFIX)
        self.fields[VERSION] = forms.IntegerField(widget=forms.HiddenInput, initial=execution.version)
        self.stored = dict(execution.input)
        self.schema: dict[str, Any] | None = None
        if saga.schema is not None:
            fields = saga.schema().fields.items()
            self.schema = {n: f for n, f in fields if not (f.read_only or isinstance(f, serializers.HiddenField))}
        self.hidden: set[str] = set()
        if not personal:
            # Hide a key if its value is personal or contains a personal value.
            seen = redactor_for(execution, saga, personal=False)(execution.input) or {}
            keys = {key for key, value in self.stored.items() if key not in seen or seen[key] != value}
            self.hidden = keys | {key for key in self.stored if key in saga.personal}
        self._add_fields()

    def corrected(self) -> dict[str, Any]:
        """Return the corrected input. Unchanged fields keep their stored values.

        Use only if the form is valid.
        """
        if self.schema is None:
            kept = {key: value for key, value in self.stored.items() if key in self.hidden}
            return kept | (self.cleaned_data[WHOLE] or {})
        given = {name: value for name, value in self.stored.items() if name in self.schema}
        for name in self.changed_data:
            if name in self.schema:
                _put(given, name, self.cleaned_data[name], self.schema[name])
        return given

    def add_errors(self, error: InvalidInput) -> None:
        """Show each error at its field. A dotted key belongs to the field named before the dot."""
        for key, sentence in error.errors.items():
            name, _, rest = key.partition(".")
            known, path = (name, rest) if name in self.fields else (None, key)
            self.add_error(known, f"{path}: {sentence}" if path else sentence)

    def _add_fields(self) -> None:
        """Add a form field for each field of the schema, or one JSON field without a schema."""
        if self.schema is None:
            seen = {key: value for key, value in self.stored.items() if key not in self.hidden}
            whole = json_field(None, seen, rows=12, kind=JSONObject)
            whole.label, whole.required = gettext("Input, as JSON"), False
            whole.help_text = str(SOME_HIDDEN) if self.hidden else ""
            self.fields[WHOLE] = whole
            return
        for name, field in self.schema.items():
            hidden = name in self.hidden
            made = field_for(field, None if hidden else self.stored.get(name))
            made.label, made.required = gettext(str(field.label or name)), False  # the schema knows what is required
            made.help_text = str(HIDDEN if hidden else field.help_text or "")
            self.fields[name] = made


def _put(given: dict[str, Any], name: str, value: Any, field: Any) -> None:
    """Store the typed value.

    For empty text store the value that the schema accepts as empty; if there is none, store "", which the schema
    rejects.
    """
    if value != "" or getattr(field, "allow_blank", False):
        given[name] = value
    elif field.allow_null:
        given[name] = None
    elif not field.required:
        given.pop(name, None)
    else:
        given[name] = ""
