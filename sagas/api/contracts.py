"""The JSON schema of what a serializer takes, and whether something is as it says.

Serializers are lenient: they take a number for a text, and blanks around a number. A client is held to the published
schema, so that what it sends means what it reads there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import extend_schema
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from rest_framework import serializers
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .serializers import Strict

GENERATING = threading.Lock()  # the generator's settings are patched for all threads
OPENAPI = "3.1.0"  # from this version on its schemas are JSON schemas

# What ECMA-262, in which a schema's patterns are written, means by them; Python takes digits of every script.
SETS = {r"\d": "0-9", r"\w": "A-Za-z0-9_"}
SIGNS = re.compile(r"\\.|[\[\]$]", re.DOTALL)

Serializer = type[serializers.Serializer[Any]]


def faults(serializer: Serializer, value: Any) -> dict[str, str]:
    """What is not as the schema says: a sentence by dotted key, none of which quotes the value."""
    found = _validator(serializer).iter_errors(value)
    return {".".join(map(str, error.absolute_path)): _sentence(error) for error in found}


def schema_of(serializer: Serializer) -> dict[str, Any]:
    """The JSON schema of what the serializer takes, and nothing else, without references."""
    schema: dict[str, Any] = _validator(serializer).schema
    return schema


def closed(serializer: Serializer) -> Serializer:
    """The same, which refuses keys that it does not know."""
    return type(serializer.__name__, (serializer, Strict), {"__doc__": serializer.__doc__})


@cache
def _validator(serializer: Serializer) -> Any:
    settings = {"OAS_VERSION": OPENAPI, "PREPROCESSING_HOOKS": [], "POSTPROCESSING_HOOKS": []}
    with GENERATING, patched_settings(settings):
        door = path("", _door_of(closed(serializer)))
        document = SchemaGenerator(patterns=[door]).get_schema(request=None, public=True)
    body = document["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return extend(Draft202012Validator, {"pattern": _pattern})(_inlined(body, document["components"]["schemas"]))


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not re.search(_in_python(pattern), instance):
        yield ValidationError("it does not match")


@cache
def _in_python(pattern: str) -> str:
    """The same, with ten digits, and an end that no line feed may follow."""
    inside = False

    def written(match: re.Match[str]) -> str:
        nonlocal inside
        sign = match.group()
        if sign in SETS:
            return SETS[sign] if inside else f"[{SETS[sign]}]"
        if sign == "$":
            return sign if inside else r"\Z"
        inside = {"[": True, "]": False}.get(sign, inside)
        return sign

    return SIGNS.sub(written, pattern)


def _sentence(error: ValidationError) -> str:
    if error.validator == "type":
        known = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"Must be of type {' or '.join(known)}."
    return f"Must be as the schema says: {error.validator} {error.validator_value}."


def _door_of(serializer: Serializer) -> Any:
    """A view whose requests are nothing but this."""

    class Door(APIView):
        schema = AutoSchema()

        @extend_schema(request={"application/json": serializer}, responses={202: None})
        def post(self, request: Request) -> Response:
            raise MethodNotAllowed("POST")

    return Door.as_view()


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    """The schema without references."""
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(part, components) for key, part in schema.items()}
