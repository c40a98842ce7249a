"""Generate the published JSON schema of a serializer, and validate requests against it.

A serializer alone is lenient: it converts numbers to strings, and strings to numbers and booleans. The API therefore
validates each request against the schema first, and accepts only what its documentation allows.
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

from .serializers import StrictSerializer

GENERATING = threading.Lock()  # patched_settings is not thread-safe
OPENAPI = "3.1.0"  # the first version whose schemas are JSON schemas

# These character sets are ASCII in ECMA-262, which JSON schema uses, but Unicode in Python.
ASCII_SETS = {r"\d": "0-9", r"\w": "A-Za-z0-9_"}
TOKENS = re.compile(r"\\.|[\[\]$]", re.DOTALL)

Serializer = type[serializers.Serializer[Any]]


def schema_errors(serializer: Serializer, value: Any) -> dict[str, str]:
    """Map the dotted key of each violation of the schema to a message. Messages do not quote values."""
    messages = {}
    for error in _validator(serializer).iter_errors(value):
        expected = error.validator_value
        if error.validator == "type":
            types = expected if isinstance(expected, list) else [expected]
            message = f"Must be of type {' or '.join(types)}."
        else:
            message = f"Must match the schema: {error.validator} {expected}."
        messages[".".join(map(str, error.absolute_path))] = message
    return messages


def schema_of(serializer: Serializer) -> dict[str, Any]:
    """Return the JSON schema of the serializer's input. It has no references and forbids additional properties."""
    schema: dict[str, Any] = _validator(serializer).schema
    return schema


def closed(serializer: Serializer) -> Serializer:
    """Return a subclass that rejects unknown keys."""
    return type(serializer.__name__, (serializer, StrictSerializer), {"__doc__": serializer.__doc__})


@cache
def _validator(serializer: Serializer) -> Any:
    """Return a validator for the serializer's schema, as the OpenAPI document would show it."""

    class View(APIView):
        schema = AutoSchema()

        @extend_schema(request={"application/json": closed(serializer)}, responses={202: None})
        def post(self, request: Request) -> Response:
            raise MethodNotAllowed("POST")

    settings = {"OAS_VERSION": OPENAPI, "PREPROCESSING_HOOKS": [], "POSTPROCESSING_HOOKS": []}
    with GENERATING, patched_settings(settings):
        document = SchemaGenerator(patterns=[path("", View.as_view())]).get_schema(request=None, public=True)
    body = document["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return extend(Draft202012Validator, {"pattern": _pattern})(_inlined(body, document["components"]["schemas"]))


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not re.search(_to_python(pattern), instance):
        yield ValidationError("does not match")


@cache
def _to_python(pattern: str) -> str:
    """Translate an ECMA-262 pattern to Python: make sets ASCII, and let `$` match only at the very end."""
    in_set = False

    def translate(match: re.Match[str]) -> str:
        nonlocal in_set
        symbol = match.group()
        if symbol in ASCII_SETS:
            return ASCII_SETS[symbol] if in_set else f"[{ASCII_SETS[symbol]}]"
        if symbol == "$":
            return symbol if in_set else r"\Z"
        in_set = {"[": True, "]": False}.get(symbol, in_set)
        return symbol

    return TOKENS.sub(translate, pattern)


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    """Return the schema with each reference replaced by the component that it names."""
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(part, components) for key, part in schema.items()}
