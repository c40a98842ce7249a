"""The views of `sagas/`, `executions/` and `stats/`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from sagas import operations
from sagas.definition.exceptions import InvalidInput
from sagas.definition.states import TERMINAL
from sagas.models import SagaExecution
from sagas.monitoring import stats
from sagas.operations import Actor, Operation

from . import access, definitions, long_poll, openapi, problems, representation, start
from .access import Reader
from .filters import ExecutionFilters
from .pagination import ExecutionPages
from .parsers import LimitedJSONParser
from .serializers import OperationSerializer, PreviewQuerySerializer, ResolveSerializer, StartSerializer

RETRY_AFTER = "1"  # seconds
PRIVATE = "private, no-cache"


class SagaView(APIView):
    """The base of all views: JSON, problem details, authentication and throttling.

    Authentication uses the project's DEFAULT_AUTHENTICATION_CLASSES.
    """

    parser_classes: Any = (LimitedJSONParser,)
    renderer_classes: Any = (JSONRenderer,)
    permission_classes: Any = (IsAuthenticated,)
    throttle_classes: Any = (access.SagaThrottle,)
    throttle_scope = access.READ

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Return the handler of `problems`, and ignore the project's EXCEPTION_HANDLER."""
        return problems.exception_handler

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check authentication, permissions and throttles. Then refuse a chunked body."""
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers:
            raise problems.LengthRequired

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Forbid shared caches to store the response, including error responses."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = PRIVATE
        patch_vary_headers(response, ["Accept-Language", "Authorization", "Cookie"])
        return response

    @property
    def reader(self) -> Reader:
        """The reader for the user of the request."""
        return Reader(self.request.user)


class Sagas(SagaView):
    """The registered sagas."""

    @openapi.SAGAS
    def get(self, request: Request) -> Response:
        """Return each registered saga with its steps and the JSON schema of its input."""
        return Response(definitions.all_definitions())


class Executions(SagaView):
    """The list of executions, and the start of a saga."""

    pagination = ExecutionPages

    def get_throttles(self) -> list[Any]:
        """Use a separate limit for starts."""
        self.throttle_scope = access.START if self.request.method == "POST" else access.READ
        return super().get_throttles()

    @openapi.LIST
    def get(self, request: Request) -> Response:
        """Return a page of the executions that the client may see, newest first."""
        filtered = ExecutionFilters(request.query_params, self.reader.executions(), request=request)
        if not filtered.is_valid():
            raise ValidationError({name: list(texts) for name, texts in filtered.errors.items()})
        pages = self.pagination()
        page = pages.paginate_queryset(filtered.qs, request, view=self)
        return pages.get_paginated_response(representation.summaries(page or [], self.reader))

    @openapi.START
    def post(self, request: Request) -> Response:
        """Start a saga. The same Idempotency-Key, or the same id with the same input, returns the first execution."""
        serializer = StartSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        reader = self.reader
        execution, created = start.start_once(
            request.user,
            request.headers.get("Idempotency-Key"),
            ["executions", request.data],
            lambda: start.start(reader, serializer.validated_data),
            reader.execution,
        )
        return started(request, execution, created=created)


class Execution(SagaView):
    """One execution."""

    @openapi.DETAIL
    def get(self, request: Request, saga_id: str) -> Response:
        """Return the execution, or 304 if it matches If-None-Match."""
        execution = self.reader.execution(saga_id)
        return conditional(request, representation.detail(execution, self.reader), _retry_after(execution))


class History(SagaView):
    """The history of one execution."""

    @openapi.HISTORY
    def get(self, request: Request, saga_id: str) -> Response:
        """Return the step runs and events, in order."""
        return conditional(request, representation.history(self.reader.execution(saga_id), self.reader))


class OperationPreview(SagaView):
    """What an operation would do."""

    @openapi.PREVIEW
    def get(self, request: Request, saga_id: str) -> Response:
        """Return the calls of the operation, the steps that it would not repeat, and the execution's version."""
        query = PreviewQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        execution, operation = self.reader.execution(saga_id), Operation(query.validated_data["action"])
        self.reader.check_may(operation)
        step_and_outcome = {name: value for name, value in query.validated_data.items() if name != "action"}
        resolves = operation is Operation.RESOLVE and len(step_and_outcome) > 1
        parameters = step_and_outcome if resolves else {}
        return Response(representation.preview(operations.plan(operation, execution.saga_id, **parameters)))


class OperationView(SagaView):
    """The base of the views that perform an operation. Workers make the calls that follow from it."""

    throttle_scope = access.OPERATION
    operation = Operation.RESOLVE

    def perform(self, request: Request, saga_id: str, serializer: OperationSerializer, **parameters: Any) -> Response:
        """Check the permission, validate the request, and perform the operation."""
        reader = self.reader
        execution = reader.execution(saga_id)
        reader.check_may(self.operation)
        serializer.is_valid(raise_exception=True)
        by = Actor(user=request.user, source="api")
        parameters |= serializer.validated_data
        execution = operations.perform(self.operation, execution.saga_id, by=by, **parameters)
        headers = {"Location": _url(request, execution)} | _retry_after(execution)
        return Response(representation.detail(execution, reader), 202, headers=headers)


class PerformOperation(OperationView):
    """An operation that needs only a reason. The route determines the operation."""

    @openapi.OPERATION
    def post(self, request: Request, saga_id: str) -> Response:
        """Perform the operation.

        The response is 409 if the state does not allow it, and 412 if the execution has changed since `version`.
        """
        return self.perform(request, saga_id, OperationSerializer(data=request.data))


class ResolveStep(OperationView):
    """Resolving a step by hand."""

    @openapi.RESOLVE
    def post(self, request: Request, saga_id: str, step: str) -> Response:
        """Record the outcome of the step, with the evidence."""
        try:
            return self.perform(request, saga_id, ResolveSerializer(data=request.data), step=step)
        except InvalidInput as error:
            raise problems.InvalidOutput(error.errors) from error


class Stats(SagaView):
    """Statistics of all executions."""

    @openapi.STATS
    def get(self, request: Request) -> Response:
        """Return the statistics. Needs the permission to view all executions."""
        self.reader.check_sees_all()
        return Response(stats.collect())


@openapi.UNDOCUMENTED
class Nowhere(SagaView):
    """Answers requests for unknown addresses below the API's prefix with a problem document."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check authentication first, then raise NotFound."""
        super().initial(request, *args, **kwargs)
        raise NotFound("Unknown address. All addresses of this API end with a slash.")


def started(request: Request, execution: SagaExecution, *, created: bool) -> Response:
    """Return the response to a start.

    The status is 202 for a new execution, 201 if it has ended within `Prefer: wait`, and 200 if it existed already.
    """
    reader, seconds = Reader(request.user), long_poll.requested_seconds(request.headers.get("Prefer", ""))
    headers = {"Location": _url(request, execution)}
    waited = long_poll.wait_for_end(execution, seconds) if seconds else None
    if waited:
        headers["Preference-Applied"] = f"wait={seconds:g}"
    if waited and waited.state in TERMINAL:
        return Response(representation.detail(waited, reader), 201 if created else 200, headers=headers)
    headers["Retry-After"] = RETRY_AFTER
    return Response(representation.receipt(execution, reader), 202 if created else 200, headers=headers)


def conditional(request: Request, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return the document with its ETag, or 304 if If-None-Match has the same ETag (RFC 9110, section 13)."""
    etag = f'"{hashlib.sha256(JSONRenderer().render(document)).hexdigest()[:32]}"'
    known = {tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))}
    response = Response(status=304) if known & {etag, "*"} else Response(document)
    for name, value in {**(headers or {}), "ETag": etag}.items():
        response[name] = value
    return response


def _retry_after(execution: SagaExecution) -> dict[str, str]:
    stopped = execution.state in TERMINAL or execution.held
    return {} if stopped else {"Retry-After": RETRY_AFTER}


def _url(request: Request, execution: SagaExecution) -> str:
    return str(reverse("sagas-api:execution", [execution.saga_id], request=request))
