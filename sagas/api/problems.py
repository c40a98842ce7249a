"""What goes wrong, as problem details (RFC 9457); the one place that knows which error is which status."""

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
    """The body comes in chunks, and a WSGI server would hand it on as an empty one."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length-required"
    default_detail = "Send the body with a Content-Length, and not in chunks."


class TooLarge(exceptions.APIException):
    """The body is larger than any that we would store."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.")


class KeyReused(exceptions.APIException):
    """The client has used this Idempotency-Key for another request."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key-reused"
    default_detail = "This Idempotency-Key was used for another request; use a new one for each new request."


class InvalidOutput(InvalidInput):
    """What a step is said to have reported cannot be stored; the keys are places in that."""


@dataclass(frozen=True)
class Kind:
    """A sort of problem: its status, the last part of its type, and its title."""

    status: int
    name: str
    title: str


INVALID = Kind(400, "invalid", "The request is not valid")
MALFORMED = Kind(400, "malformed", "The request cannot be read")
FORBIDDEN = Kind(403, "forbidden", "You may not do this")
NOT_FOUND = Kind(404, "not-found", "There is no such thing")
CONFLICT = Kind(409, "conflict", "The id is taken")
NOT_POSSIBLE = Kind(409, "not-possible", "The act is not possible now")
OUTDATED = Kind(412, "outdated", "It has moved since you looked")
KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (InvalidInput, INVALID),
    (exceptions.ValidationError, INVALID),
    (DjangoValidationError, INVALID),
    (exceptions.ParseError, MALFORMED),
    (exceptions.AuthenticationFailed, Kind(401, "not-authenticated", "Who are you?")),
    (exceptions.NotAuthenticated, Kind(401, "not-authenticated", "Who are you?")),
    (exceptions.PermissionDenied, FORBIDDEN),
    (PermissionDenied, FORBIDDEN),
    (UnknownSaga, Kind(404, "unknown-saga", "There is no such saga")),
    (UnknownExecution, NOT_FOUND),
    (exceptions.NotFound, NOT_FOUND),
    (Http404, NOT_FOUND),
    (exceptions.MethodNotAllowed, Kind(405, "method-not-allowed", "This method is not known here")),
    (exceptions.NotAcceptable, Kind(406, "not-acceptable", "There is no such representation")),
    (SagaConflict, CONFLICT),
    (VersionMoved, OUTDATED),
    (ActRefused, NOT_POSSIBLE),
    (LengthRequired, Kind(411, "length-required", "Say how long the body is")),
    (TooLarge, Kind(413, "too-large", "The body is too large")),
    (exceptions.UnsupportedMediaType, Kind(415, "unsupported-media-type", "Send JSON")),
    (KeyReused, Kind(422, "key-reused", "The key was used for another request")),
    (exceptions.Throttled, Kind(429, "throttled", "Too many requests")),
)
# The same for everybody: whether somebody else has the id, or what it was started with, is not told.
TAKEN = "This id names a saga that was started by somebody else or with other input; use a new id."


def answer(error: Exception, _: Mapping[str, Any]) -> Response | None:
    """The problem as a response (an exception handler of Django REST framework); None = not one of ours, a 500."""
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
        return TAKEN
    if isinstance(error, ActRefused):
        return f"{error.sentence[:1].upper()}{error.sentence[1:]}"
    if kind is INVALID:
        return "See errors: each names the field by a JSON pointer."
    if isinstance(error, exceptions.APIException):
        return str(error.detail)
    if isinstance(error, (UnknownSaga, UnknownExecution)):
        return str(error)
    return kind.title + "."


def _extras(error: Exception) -> dict[str, Any]:
    if isinstance(error, InvalidOutput):
        places = {"" if key == "output" else key: text for key, text in error.errors.items()}
        return {"errors": [_fault(_pointer_below("#/output", key), text) for key, text in places.items()]}
    if isinstance(error, InvalidInput):
        return {"errors": [_fault(_pointer_of(key), text) for key, text in error.errors.items()]}
    if isinstance(error, exceptions.ValidationError):
        return {"errors": list(_faults(error.detail, "#"))}
    if isinstance(error, DjangoValidationError):
        return {"errors": [_fault("#", text) for text in error.messages]}
    if isinstance(error, ActRefused):
        return {"allowed": list(error.allowed)}
    return {}


def _headers(error: Exception) -> dict[str, str]:
    headers = {}
    if asked := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = asked
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return headers


def _faults(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            own = pointer if key == "non_field_errors" else f"{pointer}/{_escaped(str(key))}"
            yield from _faults(inner, own)
    elif isinstance(detail, (list, tuple)):
        for place, inner in enumerate(detail):
            yield from _faults(inner, f"{pointer}/{place}" if isinstance(inner, (dict, list)) else pointer)
    else:
        yield _fault(pointer, str(detail))


def _fault(pointer: str, text: str) -> dict[str, str]:
    # Either may quote what was sent: a lone surrogate could not be sent back.
    return {"pointer": clean_text(pointer), "detail": clean_text(text)}


def _pointer_of(key: str) -> str:
    """The field of a start, or the place within its context, that a dotted key names."""
    if key in ("saga_id", "priority"):
        return f"#/{key}"
    return _pointer_below("#/context", key)


def _pointer_below(pointer: str, key: str) -> str:
    return "/".join([pointer, *(_escaped(part) for part in key.split(".") if part)])


def _escaped(part: str) -> str:
    """RFC 6901, section 3."""
    return part.replace("~", "~0").replace("/", "~1")
