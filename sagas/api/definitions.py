"""The registered sagas for clients, with the JSON schema of what each takes."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.urls import path
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sagas.definition import Saga
from sagas.registry import all_sagas

from .serializers import Start, Strict

JSON_SCHEMA = "3.1.0"  # of OpenAPI: from this version on its schemas are JSON schemas


def all_definitions() -> list[dict[str, Any]]:
    """Each saga, by name."""
    sagas = [saga for _, saga in sorted(all_sagas().items())]
    inputs = _inputs(tuple(sagas))
    return [_definition(saga, inputs.get(saga.name)) for saga in sagas]


def start_serializers() -> list[type[serializers.Serializer[Any]]]:
    """A Start for each registered saga, whose `context` is that saga's input."""
    return [_start_of(saga) for _, saga in sorted(all_sagas().items())]


START_REQUEST = PolymorphicProxySerializer(
    component_name="Start", serializers=start_serializers, resource_type_field_name=None
)


class StrictExtension(OpenApiSerializerExtension):
    """What refuses unknown keys says so."""

    target_class = Strict
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """As ever, and nothing else."""
        schema: dict[str, Any] = auto_schema._map_serializer(  # noqa: SLF001  (as its documentation shows)
            self.target, direction, bypass_extensions=True
        )
        return schema | {"additionalProperties": False}


def _definition(saga: Saga, schema: dict[str, Any] | None) -> dict[str, Any]:
    return {
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
        "input": schema,
    }


def _start_of(saga: Saga) -> type[serializers.Serializer[Any]]:
    named = extend_schema_field({"type": "string", "enum": [saga.name]})(type("Name", (serializers.CharField,), {}))
    fields: dict[str, Any] = {"saga": named(), "__doc__": f"Start {saga.name}. {saga.description}".strip()}
    if saga.schema is not None:
        fields["context"] = _closed(saga.schema)()
    name = "Start" + "".join(part.capitalize() for part in saga.name.split("_"))
    return type(name, (Start,), fields)


def _closed(schema: type[Any]) -> type[Any]:
    """The schema, which refuses keys that it does not know: `starting` does."""
    return type(schema.__name__, (schema, Strict), {"__doc__": schema.__doc__, "__module__": schema.__module__})


class _Door(APIView):
    """A view of nothing but the starts."""

    schema = AutoSchema()

    @extend_schema(request=START_REQUEST, responses={202: None})
    def post(self, request: Request) -> Response:
        """Never called."""
        raise NotImplementedError


@cache
def _inputs(sagas: tuple[Saga, ...]) -> dict[str, dict[str, Any]]:
    """The JSON schema of each saga's input, by the saga's name; for those that have one."""
    with patched_settings({"OAS_VERSION": JSON_SCHEMA, "PREPROCESSING_HOOKS": [], "POSTPROCESSING_HOOKS": []}):
        document = SchemaGenerator(patterns=[path("", _Door.as_view())]).get_schema(request=None, public=True)
    components = document["components"]["schemas"]
    return {
        saga.name: _inlined(components[_start_of(saga).__name__]["properties"]["context"], components)
        for saga in sagas
        if saga.schema is not None
    }


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    """The schema without references."""
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(part, components) for key, part in schema.items()}
