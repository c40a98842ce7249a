"""The OpenAPI documentation of each route: its response and its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from sagas.models import STATES

from . import response_serializers as responses
from .definitions import START_REQUEST
from .pagination import ExecutionPages
from .problems import CONTENT_TYPE
from .serializers import OperationSerializer, PreviewQuerySerializer, ResolveSerializer

F = TypeVar("F", bound=Callable[..., Any])

DESCRIPTIONS = {
    304: "Not modified.",
    400: "The request is not valid. `errors` has a JSON pointer and a message for each invalid field.",
    401: "Authentication is required.",
    403: "The user does not have the required permission.",
    404: "It does not exist, or it belongs to another client.",
    409: "The current state does not allow it, or the id is in use.",
    411: "The body has no Content-Length.",
    412: "The execution has changed since this version.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The Idempotency-Key was used for a different request.",
    429: "Too many requests. Retry after `Retry-After` seconds.",
    503: "The service is not ready.",
}
EVERYWHERE = (401, 429)
WITH_A_BODY = (400, 411, 413, 415)


class Decorator(Protocol):
    """A decorator that keeps the type of the method."""

    def __call__(self, method: F, /) -> F: ...


def document(
    response: Any,
    *errors: int,
    status: int = 200,
    also: dict[int, Any] | None = None,
    media_type: str = "application/json",
    **more: Any,
) -> Decorator:
    """Return a decorator that documents a route: its response, its errors, and the errors 401 and 429 of all routes."""
    documented: dict[Any, Any] = {(status, media_type): OpenApiResponse(response), **(also or {})}
    documented |= {
        (code, CONTENT_TYPE): OpenApiResponse(responses.ProblemSerializer, DESCRIPTIONS[code])
        for code in (*EVERYWHERE, *errors)
    }
    decorator: Decorator = extend_schema(responses=documented, **more)
    return decorator


def _query(name: str, kind: Any, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **more)


def _header(name: str, description: str, kind: Any = OpenApiTypes.STR) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description)


IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "A repeated request with the same key returns what the first one started.",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
)
PREFER = _header("Prefer", "`wait=N` delays the response until the execution ends, for at most N seconds (maximum 30).")
IF_NONE_MATCH = _header("If-None-Match", "The ETag of an earlier response. The response is 304 if nothing has changed.")
NOT_BLANK = {"type": "string", "pattern": r"^\s*[^\s\x00][^\x00]*$", "maxLength": 255}
PAGES = [
    _query(
        "cursor",
        {"type": "string", "pattern": "^[A-Za-z0-9+/=]{1,255}$"},
        "The cursor of `next` or `previous` of another page.",
    ),
    _query(
        "page_size", {"type": "integer", "minimum": 1, "maximum": ExecutionPages.max_page_size}, "Executions per page."
    ),
    _query("ordering", OpenApiTypes.STR, "By creation time, newest or oldest first.", enum=list(ExecutionPages.orders)),
    _query(
        "state",
        OpenApiTypes.STR,
        "State of the execution. May be repeated.",
        enum=[value for value, _ in STATES],
        many=True,
    ),
    _query("saga", NOT_BLANK | {"maxLength": 64}, "The name of the saga."),
    _query("needs_attention", OpenApiTypes.STR, "Whether the execution needs attention.", enum=["true", "false"]),
    _query("created_after", OpenApiTypes.DATETIME, "Created at this time or later."),
    _query("created_before", OpenApiTypes.DATETIME, "Created before this time."),
    _query("search", NOT_BLANK, "A saga id, or the value of a reference such as an e-mail address."),
]

SAGAS = document(responses.DefinitionSerializer(many=True), operation_id="sagas", tags=["sagas"])
LIST = document(
    responses.ExecutionPageSerializer, 400, 404, operation_id="executions", parameters=PAGES, tags=["executions"]
)
START = document(
    responses.ExecutionSerializer,
    *WITH_A_BODY, 404, 409, 422,
    status=202,
    also={
        200: OpenApiResponse(responses.ExecutionSerializer, "The execution had been started before."),
        201: OpenApiResponse(responses.ExecutionSerializer, "The execution has ended within the `Prefer: wait` time."),
    },
    operation_id="start",
    request=START_REQUEST,
    parameters=[IDEMPOTENCY_KEY, PREFER],
    tags=["executions"],
)  # fmt: skip
DETAIL = document(
    responses.ExecutionSerializer,
    404,
    also={304: OpenApiResponse(None, DESCRIPTIONS[304])},
    operation_id="execution",
    parameters=[IF_NONE_MATCH],
    tags=["executions"],
)
HISTORY = document(
    responses.HistorySerializer,
    404,
    also={304: OpenApiResponse(None, DESCRIPTIONS[304])},
    operation_id="history",
    parameters=[IF_NONE_MATCH],
    tags=["executions"],
)
PREVIEW = document(
    responses.PreviewSerializer,
    *(400, 403, 404, 409),
    operation_id="preview",
    parameters=[PreviewQuerySerializer],
    tags=["operations"],
)
OPERATION = document(
    responses.ExecutionSerializer,
    *WITH_A_BODY,
    403,
    404,
    409,
    412,
    status=202,
    request=OperationSerializer,
    tags=["operations"],
)
RESOLVE = document(
    responses.ExecutionSerializer,
    *WITH_A_BODY,
    403,
    404,
    409,
    412,
    status=202,
    operation_id="resolve",
    request=ResolveSerializer,
    tags=["operations"],
)
UNDOCUMENTED = extend_schema(exclude=True)
STATS = document(responses.StatsSerializer, 403, operation_id="stats", tags=["sagas"])
