"""Describe the registered sagas for clients, with the JSON schema of each saga's input."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from sagas.definition.registry import all_sagas

from .json_schema import closed, schema_of
from .serializers import StartSerializer, StrictSerializer


def all_definitions() -> list[dict[str, Any]]:
    """Return the definition of each saga, sorted by name."""
    return [
        {
            "name": saga.name,
            "description": saga.description,
            "priority": saga.priority.name.lower(),
            "steps": [
                {
                    "name": step.name,
                    "compensated": step.compensation is not None,
                    "timeout": step.timeout,
                    "retry_count": step.retry_count,
                    "idempotent": step.idempotent,
                    "pivot": step.pivot,
                    "optional": step.optional,
                }
                for step in saga
            ],
            "input": schema_of(saga.schema) if saga.schema else None,
        }
        for _, saga in sorted(all_sagas().items())
    ]


def start_serializers() -> list[type[serializers.Serializer[Any]]]:
    """Return a StartSerializer for each registered saga. The field `context` has the schema of the saga's input."""
    found: list[type[serializers.Serializer[Any]]] = []
    for _, saga in sorted(all_sagas().items()):
        name_field = extend_schema_field({"type": "string", "enum": [saga.name]})(
            type("Name", (serializers.CharField,), {})
        )
        fields: dict[str, Any] = {"saga": name_field(), "__doc__": f"Start {saga.name}. {saga.description}".strip()}
        if saga.schema is not None:
            fields["context"] = closed(saga.schema)()
        name = "Start" + "".join(part.capitalize() for part in saga.name.split("_"))
        found.append(type(name, (StartSerializer,), fields))
    return found


START_REQUEST = PolymorphicProxySerializer(
    component_name="Start", serializers=start_serializers, resource_type_field_name=None
)


class StrictExtension(OpenApiSerializerExtension):
    """Adds to the OpenAPI document that a StrictSerializer rejects unknown keys."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """Return the usual schema, but forbid additional properties."""
        schema: dict[str, Any] = auto_schema._map_serializer(  # noqa: SLF001  (as its documentation shows)
            self.target, direction, bypass_extensions=True
        )
        return schema | {"additionalProperties": False}
