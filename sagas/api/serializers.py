"""What requests must look like; a key that nobody knows is an error, for it may be a misspelt one."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sagas.definition.json_values import SAGA_ID
from sagas.definition.states import Priority, Resolution
from sagas.operations import Operation

PRIORITIES = {priority.name.lower(): priority for priority in Priority}
RESOLUTIONS = [word.value for word in Resolution]


class Text(serializers.RegexField):
    """A text with something in it, and nothing that cannot be stored; a number is no text."""

    # Each text matches in one way only: 200,000 letters before two NULs would else take minutes.
    def __init__(self, regex: str = r"\A\s*[^\s\x00][^\x00]*\Z", **more: Any) -> None:
        super().__init__(regex, trim_whitespace=False, **more)

    def to_internal_value(self, data: Any) -> str:
        """The text as it is."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Strict(serializers.Serializer[Any]):
    """Refuses keys that it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values."""
        if isinstance(data, dict):
            strange = [key for key in data if key not in self.fields]
            if strange:
                raise serializers.ValidationError(dict.fromkeys(strange, "There is no such field."))
        return super().to_internal_value(data)


class Start(Strict):
    """A saga to start. `context` is its input; GET `sagas/` has its JSON schema."""

    saga = Text(max_length=64)
    context = serializers.DictField(required=False, default=dict)  # type: ignore[assignment]  # (a field)
    saga_id = Text(SAGA_ID.pattern, required=False)
    priority = serializers.ChoiceField(choices=list(PRIORITIES), required=False)


class Reason(Strict):
    """Why an operator acts; with `version`, only if the execution has not moved since."""

    reason = Text(max_length=2000)
    version = serializers.IntegerField(min_value=0, max_value=2**63 - 1, required=False)


class Resolve(Reason):
    """What a person has found out about a step."""

    outcome = serializers.ChoiceField(choices=RESOLUTIONS)
    evidence = Text(max_length=2000)
    output = serializers.DictField(required=False)


class Preview(Strict):
    """Which act to look ahead of; with a step and an outcome, whether just that can be put down."""

    action = serializers.ChoiceField(
        choices=[operation.value for operation in Operation if operation is not Operation.CORRECT]
    )
    step = Text(max_length=64, required=False)
    outcome = serializers.ChoiceField(choices=RESOLUTIONS, required=False)
