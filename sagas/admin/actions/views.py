"""What operators can do to an execution: the buttons, what they are called, and the pages behind them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from sagas.models import SagaExecution
from sagas.operations import Operation

from .buttons import Button, Refusal, may, offered
from .correct import CorrectPage
from .labels import name_of
from .page import ActPage
from .resolve import ResolvePage

__all__ = ["Button", "Refusal", "name_of", "offered", "urls"]

PAGES: dict[Operation, type[ActPage]] = {Operation.RESOLVE: ResolvePage, Operation.CORRECT: CorrectPage}


def urls(model_admin: admin.ModelAdmin[SagaExecution]) -> list[URLPattern]:
    """The page of each act on an execution."""

    @require_http_methods(["GET", "HEAD", "POST"])
    def view(request: HttpRequest, pk: int, operation: str) -> HttpResponse:
        return _page(model_admin, request, pk, operation).answer()

    site = model_admin.admin_site
    return [path("<int:pk>/operation/<slug:operation>/", site.admin_view(view), name="sagas_sagaexecution_operation")]


def _page(model_admin: Any, request: HttpRequest, pk: int, operation: str) -> ActPage:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    execution = model_admin.get_queryset(request).filter(pk=pk).first()
    if execution is None or operation not in list(Operation):
        raise Http404
    if not may(request, Operation(operation), execution):
        raise PermissionDenied
    return PAGES.get(Operation(operation), ActPage)(model_admin.admin_site, request, execution, Operation(operation))
