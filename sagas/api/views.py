"""The routes under `sagas/`, `executions/` and `stats/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.cache import patch_vary_headers
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

from . import definitions, documents, problems, representation, starts, throttles, waiting
from .access import Reader
from .etags import conditional
from .filters import ExecutionFilters
from .pagination import ExecutionPages
from .parsers import LimitedJSONParser
from .serializers import Preview, Reason, Resolve, Start

LOOK_AGAIN = "1"  # seconds
FOR_ONE_READER = "private, no-cache"


class SagaView(APIView):
    """What all routes have in common: JSON, problem details, clients that are known, a limit to their haste.

    The ways to authenticate are the host's, from DEFAULT_AUTHENTICATION_CLASSES.
    """

    parser_classes: Any = (LimitedJSONParser,)
    renderer_classes: Any = (JSONRenderer,)
    permission_classes: Any = (IsAuthenticated,)
    throttle_classes: Any = (throttles.SagaThrottle,)
    throttle_scope = throttles.READ

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Ours, whatever the host's other APIs do."""
        return problems.answer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks, whether they may and not too often; then whether there is a body that we could read."""
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers:
            raise problems.LengthRequired

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Also what is refused is for this one reader, and nobody's cache gives it to another."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = FOR_ONE_READER
        patch_vary_headers(response, ["Accept-Language", "Authorization", "Cookie"])
        return response

    @property
    def reader(self) -> Reader:
        """Who asks."""
        return Reader(self.request.user)


class Sagas(SagaView):
    """What can be started."""

    @documents.SAGAS
    def get(self, request: Request) -> Response:
        """Each registered saga with its steps and the JSON schema of its input."""
        return Response(definitions.all_definitions())


class Executions(SagaView):
    """The list, and the door through which sagas are started."""

    pagination = ExecutionPages

    def get_throttles(self) -> list[Any]:
        """Starting has its own limit."""
        self.throttle_scope = throttles.START if self.request.method == "POST" else throttles.READ
        return super().get_throttles()

    @documents.LIST
    def get(self, request: Request) -> Response:
        """Those that the client may see, newest first, a page at a time."""
        found = ExecutionFilters(request.query_params, self.reader.executions(), request=request)
        if not found.is_valid():
            raise ValidationError({name: list(texts) for name, texts in found.errors.items()})
        pages = self.pagination()
        page = pages.paginate_queryset(found.qs, request, view=self)
        return pages.get_paginated_response(representation.summaries(page or [], self.reader))

    @documents.START
    def post(self, request: Request) -> Response:
        """Start a saga, once: the same Idempotency-Key, or the same id with the same input, finds what it started."""
        wanted = Start(data=request.data)
        wanted.is_valid(raise_exception=True)
        reader = self.reader
        execution, fresh = starts.once(
            request.user,
            request.headers.get("Idempotency-Key"),
            ["executions", request.data],
            lambda: starts.start(reader, wanted.validated_data),
            reader.execution,
        )
        return started(request, execution, fresh=fresh)


class Execution(SagaView):
    """One execution."""

    @documents.DETAIL
    def get(self, request: Request, saga_id: str) -> Response:
        """How it stands; with If-None-Match, 304 while nothing has changed."""
        execution = self.reader.execution(saga_id)
        return conditional(request, representation.detail(execution, self.reader), _look_again(execution))


class History(SagaView):
    """What happened to one execution."""

    @documents.HISTORY
    def get(self, request: Request, saga_id: str) -> Response:
        """Its step runs and events, in order."""
        return conditional(request, representation.history(self.reader.execution(saga_id), self.reader))


class PreviewOfAct(SagaView):
    """What an act would do."""

    @documents.PREVIEW
    def get(self, request: Request, saga_id: str) -> Response:
        """The calls that it would make, those it would not repeat, and the version that it was looked up for."""
        wanted = Preview(data=request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        execution, operation = self.reader.execution(saga_id), Operation(wanted.validated_data["action"])
        self.reader.check_may(operation)
        named = {name: value for name, value in wanted.validated_data.items() if name != "action"}
        parameters = named if operation is Operation.RESOLVE and len(named) > 1 else {}
        return Response(representation.preview(operations.plan(operation, execution.saga_id, **parameters)))


class ActView(SagaView):
    """An operator's act; what follows from it is done by the workers."""

    throttle_scope = throttles.ACT
    operation = Operation.RESOLVE

    def perform(self, request: Request, saga_id: str, wanted: Reason, **parameters: Any) -> Response:
        """Check who asks, then what; then act."""
        reader = self.reader
        execution = reader.execution(saga_id)
        reader.check_may(self.operation)
        wanted.is_valid(raise_exception=True)
        by = Actor(user=request.user, source="api")
        execution = operations.perform(self.operation, execution.saga_id, by=by, **(parameters | wanted.validated_data))
        return Response(representation.detail(execution, reader), 202, headers=_links(request, execution))


class ActOn(ActView):
    """An act that needs no more than a reason; which one, says the route."""

    @documents.ACT
    def post(self, request: Request, saga_id: str) -> Response:
        """Do it; 409 where the state does not allow it, 412 where the execution is not at that version any more."""
        return self.perform(request, saga_id, Reason(data=request.data))


class ResolveStep(ActView):
    """A person's word on a step."""

    @documents.RESOLVE
    def post(self, request: Request, saga_id: str, step: str) -> Response:
        """Put down what has become of the step, with the evidence."""
        try:
            return self.perform(request, saga_id, Resolve(data=request.data), step=step)
        except InvalidInput as error:
            raise problems.InvalidOutput(error.errors) from error


class Stats(SagaView):
    """Numbers over all executions."""

    @documents.STATS
    def get(self, request: Request) -> Response:
        """For those who may see all executions."""
        self.reader.check_sees_all()
        return Response(stats.collect())


@documents.NOWHERE
class Nowhere(SagaView):
    """For a host's last pattern below the API's prefix: an address that is none is an error like the others."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks comes first, as everywhere."""
        super().initial(request, *args, **kwargs)
        raise NotFound("There is no such address; all of them end with a slash.")


def started(request: Request, execution: SagaExecution, *, fresh: bool) -> Response:
    """202 with the receipt of a start, 200 where it had been started before; 201 or 200 with the outcome, if the
    client wished to wait for it."""
    reader, seconds = Reader(request.user), waiting.wished(request.headers.get("Prefer", ""))
    headers = {"Location": _url(request, execution)}
    waited = waiting.wait(execution, seconds) if seconds else None
    if waited:
        headers["Preference-Applied"] = f"wait={seconds:g}"
    if waited and waited.state in TERMINAL:
        return Response(representation.detail(waited, reader), 201 if fresh else 200, headers=headers)
    headers["Retry-After"] = LOOK_AGAIN
    return Response(representation.receipt(execution, reader), 202 if fresh else 200, headers=headers)


def _links(request: Request, execution: SagaExecution) -> Mapping[str, str]:
    return {"Location": _url(request, execution)} | _look_again(execution)


def _look_again(execution: SagaExecution) -> dict[str, str]:
    done = execution.state in TERMINAL or execution.held
    return {} if done else {"Retry-After": LOOK_AGAIN}


def _url(request: Request, execution: SagaExecution) -> str:
    return str(reverse("sagas-api:execution", [execution.saga_id], request=request))
