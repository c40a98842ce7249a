"""Errors as problem details (RFC 9457). `KINDS` maps each exception to its status, type and title."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from sagas.definition.exceptions import (
    ActRefused,
    InvalidInput,
    SagaConflict,
    UnknownExecution,
    UnknownSaga,
    VersionMoved,
)
from sagas.definition.json_values import clean_text

CONTENT_TYPE = "application/problem+json"
NAMES = "urn:sagas:problem:"


class LengthRequired(exceptions.APIException):
    """The request has a chunked body. It is refused, because some WSGI servers pass on an empty body instead."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length-required"
    default_detail = "Send the body with a Content-Length header, not in chunks."


class ContentTooLarge(exceptions.APIException):
    """The body is larger than the limit of a context."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.")


class KeyReused(exceptions.APIException):
    """The client has used this Idempotency-Key for a different request."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key-reused"
    default_detail = "This Idempotency-Key was used for a different request. Use a new key for each request."


class InvalidOutput(InvalidInput):
    """The `output` of a resolve request is invalid. The keys of `errors` are paths within `output`."""


@dataclass(frozen=True)
class Kind:
    """The status, the last part of the type, and the title of a problem."""

    status: int
    name: str
    title: str


INVALID = Kind(400, "invalid", "Validation failed")
MALFORMED = Kind(400, "malformed", "Bad request")
FORBIDDEN = Kind(403, "forbidden", "Forbidden")
NOT_FOUND = Kind(404, "not-found", "Not found")
CONFLICT = Kind(409, "conflict", "Conflict")
NOT_POSSIBLE = Kind(409, "not-possible", "Operation not allowed in this state")
PRECONDITION_FAILED = Kind(412, "outdated", "Precondition failed")
KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (InvalidInput, INVALID),
    (exceptions.ValidationError, INVALID),
    (DjangoValidationError, INVALID),
    (exceptions.ParseError, MALFORMED),
    (exceptions.AuthenticationFailed, Kind(401, "not-authenticated", "Authentication required")),
    (exceptions.NotAuthenticated, Kind(401, "not-authenticated", "Authentication required")),
    (exceptions.PermissionDenied, FORBIDDEN),
    (PermissionDenied, FORBIDDEN),
    (UnknownSaga, Kind(404, "unknown-saga", "Unknown saga")),
    (UnknownExecution, NOT_FOUND),
    (exceptions.NotFound, NOT_FOUND),
    (Http404, NOT_FOUND),
    (exceptions.MethodNotAllowed, Kind(405, "method-not-allowed", "Method not allowed")),
    (exceptions.NotAcceptable, Kind(406, "not-acceptable", "Not acceptable")),
    (SagaConflict, CONFLICT),
    (VersionMoved, PRECONDITION_FAILED),
    (ActRefused, NOT_POSSIBLE),
    (LengthRequired, Kind(411, "length-required", "Length required")),
    (ContentTooLarge, Kind(413, "too-large", "Content too large")),
    (exceptions.UnsupportedMediaType, Kind(415, "unsupported-media-type", "Unsupported media type")),
    (KeyReused, Kind(422, "key-reused", "Idempotency key reused")),
    (exceptions.Throttled, Kind(429, "throttled", "Too many requests")),
)
# One text for both cases, so that a client cannot find out whether another client uses the id.
ID_IN_USE = "This id belongs to a saga that was started by another client or with different input. Use a new id."


def exception_handler(error: Exception, _: Mapping[str, Any]) -> Response | None:
    """Return the problem response for an exception in KINDS, or None for any other. A DRF exception handler."""
    kind = next((kind for known, kind in KINDS if isinstance(error, known)), None)
    if kind is None:
        return None
    set_rollback()
    document = {
        "type": NAMES + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": _detail(error, kind),
        **_extras(error),
    }
    return Response(document, kind.status, headers=_headers(error), content_type=CONTENT_TYPE)


def _detail(error: Exception, kind: Kind) -> str:
    if isinstance(error, SagaConflict):
        return ID_IN_USE
    if isinstance(error, ActRefused):
        return f"{error.sentence[:1].upper()}{error.sentence[1:]}"
    if kind is INVALID:
        return "Some fields are not valid. See `errors`."
    if isinstance(error, exceptions.APIException):
        return str(error.detail)
    if isinstance(error, (UnknownSaga, UnknownExecution)):
        return str(error)
    return kind.title + "."


def _extras(error: Exception) -> dict[str, Any]:
    if isinstance(error, InvalidOutput):
        paths = {"" if key == "output" else key: text for key, text in error.errors.items()}
        return {"errors": [_field_error(_pointer_below("#/output", key), text) for key, text in paths.items()]}
    if isinstance(error, InvalidInput):
        # A key of `errors` is a field of the start request, or a dotted path within its context.
        pointers = {
            key: f"#/{key}" if key in ("saga_id", "priority") else _pointer_below("#/context", key)
            for key in error.errors
        }
        return {"errors": [_field_error(pointers[key], text) for key, text in error.errors.items()]}
    if isinstance(error, exceptions.ValidationError):
        return {"errors": list(_field_errors(error.detail, "#"))}
    if isinstance(error, DjangoValidationError):
        return {"errors": [_field_error("#", text) for text in error.messages]}
    if isinstance(error, ActRefused):
        return {"allowed": list(error.allowed)}
    return {}


def _headers(error: Exception) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return headers


def _field_errors(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            inner_pointer = pointer if key == "non_field_errors" else f"{pointer}/{_escaped(str(key))}"
            yield from _field_errors(inner, inner_pointer)
    elif isinstance(detail, (list, tuple)):
        for index, inner in enumerate(detail):
            yield from _field_errors(inner, f"{pointer}/{index}" if isinstance(inner, (dict, list)) else pointer)
    else:
        yield _field_error(pointer, str(detail))


def _field_error(pointer: str, text: str) -> dict[str, str]:
    # Both texts may quote the request, and a lone surrogate in it cannot be encoded.
    return {"pointer": clean_text(pointer), "detail": clean_text(text)}


def _pointer_below(pointer: str, key: str) -> str:
    return "/".join([pointer, *(_escaped(part) for part in key.split(".") if part)])


def _escaped(part: str) -> str:
    """Escape a part of a JSON pointer (RFC 6901, section 3)."""
    return part.replace("~", "~0").replace("/", "~1")
