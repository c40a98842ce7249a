"""The URL of the pages of the operations, and the page class of each operation."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from sagas.models import SagaExecution
from sagas.operations import Operation

from .buttons import may
from .correct import CorrectPage
from .page import OperationPage
from .resolve import ResolvePage

PAGES: dict[Operation, type[OperationPage]] = {Operation.RESOLVE: ResolvePage, Operation.CORRECT: CorrectPage}


def urls(model_admin: admin.ModelAdmin[SagaExecution]) -> list[URLPattern]:
    """Return the URL pattern of the operations on one execution.

    Its view answers 404 for an unknown execution or operation, and 403 without the permissions.
    """

    @require_http_methods(["GET", "HEAD", "POST"])
    def view(request: HttpRequest, pk: int, operation: str) -> HttpResponse:
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        execution = model_admin.get_queryset(request).filter(pk=pk).first()
        if execution is None or operation not in list(Operation):
            raise Http404
        if not may(request, Operation(operation), execution):
            raise PermissionDenied
        page = PAGES.get(Operation(operation), OperationPage)
        return page(site, request, execution, Operation(operation)).response()

    site = model_admin.admin_site
    return [path("<int:pk>/operation/<slug:operation>/", site.admin_view(view), name="sagas_sagaexecution_operation")]
