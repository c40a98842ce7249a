"""What requests must look like; a key that nobody knows is an error, for it may be a misspelt one."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sagas.operations import Act
from sagas.states import Priority, Resolution

PRIORITIES = {priority.name.lower(): priority for priority in Priority}
RESOLUTIONS = [word.value for word in Resolution]


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

    saga = serializers.CharField(max_length=64)
    context = serializers.DictField(required=False, default=dict)  # type: ignore[assignment]  # (a field)
    saga_id = serializers.RegexField(r"\A[A-Za-z0-9._:~-]{1,150}\Z", required=False)
    priority = serializers.ChoiceField(choices=list(PRIORITIES), required=False)


class Reason(Strict):
    """Why an operator acts; with `version`, only if the execution has not moved since."""

    reason = serializers.CharField(max_length=2000)
    version = serializers.IntegerField(min_value=0, max_value=2**63 - 1, required=False)


class Resolve(Reason):
    """What a person has found out about a step."""

    outcome = serializers.ChoiceField(choices=RESOLUTIONS)
    evidence = serializers.CharField(max_length=2000)
    output = serializers.DictField(required=False)


class Preview(Strict):
    """Which act to look ahead of; a resolution is of a step."""

    action = serializers.ChoiceField(choices=[act.value for act in Act if act is not Act.CORRECT])
    step = serializers.CharField(max_length=64, required=False)
    outcome = serializers.ChoiceField(choices=RESOLUTIONS, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """`step` and `outcome` belong to resolve, both of them."""
        wanted = {"step", "outcome"} if attrs["action"] == Act.RESOLVE else set()
        given = set(attrs) - {"action"}
        if given - wanted:
            raise serializers.ValidationError(dict.fromkeys(given - wanted, "Only resolve takes this."))
        if wanted - given:
            raise serializers.ValidationError(dict.fromkeys(wanted - given, "Resolve needs this."))
        return attrs
