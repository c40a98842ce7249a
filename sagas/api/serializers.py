"""Serializers of requests. An unknown key is an error, because it may be a spelling mistake."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sagas.definition.json_values import SAGA_ID
from sagas.definition.states import Priority, Resolution
from sagas.operations import Operation

PRIORITIES = {priority.name.lower(): priority for priority in Priority}
RESOLUTIONS = [word.value for word in Resolution]


class TextField(serializers.RegexField):
    """A string that is not blank and has no NUL character. Numbers are not converted."""

    # This pattern can match a text in only one way, so it does not backtrack. Another pattern took minutes for
    # 200,000 letters before two NULs.
    def __init__(self, regex: str = r"\A\s*[^\s\x00][^\x00]*\Z", **options: Any) -> None:
        super().__init__(regex, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Return the string unchanged. Raise ValidationError for other types."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer[Any]):
    """Rejects unknown keys."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values."""
        if isinstance(data, dict):
            unknown = [key for key in data if key not in self.fields]
            if unknown:
                raise serializers.ValidationError(dict.fromkeys(unknown, "Unknown field."))
        return super().to_internal_value(data)


class StartSerializer(StrictSerializer):
    """A saga to start. `context` is its input; GET `sagas/` returns its JSON schema."""

    saga = TextField(max_length=64)
    context = serializers.DictField(required=False, default=dict)  # type: ignore[assignment]  # (a field)
    saga_id = TextField(SAGA_ID.pattern, required=False)
    priority = serializers.ChoiceField(choices=list(PRIORITIES), required=False)


class OperationSerializer(StrictSerializer):
    """The reason for an operation. With `version`, it is refused if the execution has changed since that version."""

    reason = TextField(max_length=2000)
    version = serializers.IntegerField(min_value=0, max_value=2**63 - 1, required=False)


class ResolveSerializer(OperationSerializer):
    """The outcome of a step, found out by a person."""

    outcome = serializers.ChoiceField(choices=RESOLUTIONS)
    evidence = TextField(max_length=2000)
    output = serializers.DictField(required=False)


class PreviewQuerySerializer(StrictSerializer):
    """The operation to preview. With a step and an outcome, whether the step can be resolved with that outcome."""

    action = serializers.ChoiceField(
        choices=[operation.value for operation in Operation if operation is not Operation.CORRECT]
    )
    step = TextField(max_length=64, required=False)
    outcome = serializers.ChoiceField(choices=RESOLUTIONS, required=False)
