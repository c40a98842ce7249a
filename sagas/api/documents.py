"""What the OpenAPI document says of each route, errors included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from sagas.models import STATES

from . import answers
from .definitions import START_REQUEST
from .pagination import ExecutionPages
from .problems import CONTENT_TYPE
from .serializers import Preview, Reason, Resolve

F = TypeVar("F", bound=Callable[..., Any])

SAYS = {
    304: "Nothing has changed.",
    400: "The request is not valid; `errors` names each field by a JSON pointer.",
    401: "Nobody is authenticated.",
    403: "A permission is missing.",
    404: "There is no such thing, or it is somebody else's.",
    409: "It is not possible now, or the id is taken.",
    411: "The body has no Content-Length.",
    412: "The execution is not at this version any more.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many requests; `Retry-After` says when to go on.",
    503: "Not ready.",
}
EVERYWHERE = (401, 429)
WITH_A_BODY = (400, 411, 413, 415)


class Decorator(Protocol):
    """Gives a method its documentation."""

    def __call__(self, method: F, /) -> F: ...


def document(
    answer: Any,
    *errors: int,
    status: int = 200,
    also: dict[int, Any] | None = None,
    media_type: str = "application/json",
    **more: Any,
) -> Decorator:
    """A decorator that documents a route: its answer, the errors besides those that all have."""
    told: dict[Any, Any] = {(status, media_type): OpenApiResponse(answer), **(also or {})}
    told |= {(code, CONTENT_TYPE): OpenApiResponse(answers.Problem, SAYS[code]) for code in (*EVERYWHERE, *errors)}
    decorator: Decorator = extend_schema(responses=told, **more)
    return decorator


def _query(name: str, kind: Any, says: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=says, **more)


def _header(name: str, says: str, kind: Any = OpenApiTypes.STR) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=says)


IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "The same key again answers with what the first request has started.",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
)
PREFER = _header("Prefer", "`wait=N`: the answer may take up to N seconds (at most 30), for the outcome to be in it.")
IF_NONE_MATCH = _header("If-None-Match", "The ETag of an earlier answer; 304 while nothing has changed.")
SOMETHING = {"type": "string", "pattern": r"^\s*[^\s\x00][^\x00]*$", "maxLength": 255}
PAGES = [
    _query(
        "cursor", {"type": "string", "pattern": "^[A-Za-z0-9+/=]{1,255}$"}, "From `next` or `previous` of another page."
    ),
    _query("page_size", {"type": "integer", "minimum": 1, "maximum": ExecutionPages.max_page_size}, "Rows to a page."),
    _query("ordering", OpenApiTypes.STR, "By creation, newest or oldest first.", enum=list(ExecutionPages.orders)),
    _query("state", OpenApiTypes.STR, "May come several times.", enum=[value for value, _ in STATES], many=True),
    _query("saga", SOMETHING | {"maxLength": 64}, "Name of the saga."),
    _query("needs_attention", OpenApiTypes.STR, "Whether a person should look at it.", enum=["true", "false"]),
    _query("created_after", OpenApiTypes.DATETIME, "Created then or later."),
    _query("created_before", OpenApiTypes.DATETIME, "Created before that."),
    _query("search", SOMETHING, "A saga id, or a value that the saga is found by, such as an e-mail address."),
]

SAGAS = document(answers.Definition(many=True), operation_id="sagas", tags=["sagas"])
LIST = document(answers.Page, 400, 404, operation_id="executions", parameters=PAGES, tags=["executions"])
START = document(
    answers.Detail,
    *WITH_A_BODY, 404, 409, 422,
    status=202,
    also={
        200: OpenApiResponse(answers.Detail, "It had been started before."),
        201: OpenApiResponse(answers.Detail, "It has ended within the time that the client wished to wait."),
    },
    operation_id="start",
    request=START_REQUEST,
    parameters=[IDEMPOTENCY_KEY, PREFER],
    tags=["executions"],
)  # fmt: skip
DETAIL = document(
    answers.Detail,
    404,
    also={304: OpenApiResponse(None, SAYS[304])},
    operation_id="execution",
    parameters=[IF_NONE_MATCH],
    tags=["executions"],
)
HISTORY = document(
    answers.HistoryAnswer,
    404,
    also={304: OpenApiResponse(None, SAYS[304])},
    operation_id="history",
    parameters=[IF_NONE_MATCH],
    tags=["executions"],
)
PREVIEW = document(
    answers.PreviewAnswer, 400, 403, 404, 409, operation_id="preview", parameters=[Preview], tags=["acts"]
)
ACT = document(answers.Detail, *WITH_A_BODY, 403, 404, 409, 412, status=202, request=Reason, tags=["acts"])
RESOLVE = document(
    answers.Detail, *WITH_A_BODY, 403, 404, 409, 412, status=202, operation_id="resolve", request=Resolve, tags=["acts"]
)
NOWHERE = extend_schema(exclude=True)
STATS = document(answers.StatsAnswer, 403, operation_id="stats", tags=["sagas"])
