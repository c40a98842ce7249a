"""The progress page of a bulk operation. JavaScript updates the page; without JavaScript a link reloads it."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.cache import get_conditional_response, set_response_etag
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin.base import JSON_COLUMNS
from sagas.models import BulkItem, BulkOperation, SagaWorker
from sagas.models.querysets import ago
from sagas.operations import Operation, bulk
from sagas.operations.permissions import PERSONAL
from sagas.storage import database

from .labels import NAMES, pace

ITEMS_PER_PAGE = 50
LABELS = {
    "waiting": _("Waiting"),
    "running": _("Running"),
    "succeeded": _("Succeeded"),
    "failed": _("Failed"),
    "needs_attention": _("Need attention"),
    "refused": _("Not done"),
}


def urls(model_admin: Any) -> list[URLPattern]:
    """Return the URL patterns of the page and of the part that JavaScript reloads."""
    view = model_admin.admin_site.admin_view
    page, part = view(partial(_page, model_admin)), view(partial(_part, model_admin), cacheable=True)
    return [
        path("bulk/<int:pk>/", page, name="sagas_sagaexecution_bulk_operation"),
        path("bulk/<int:pk>/progress/", part, name="sagas_sagaexecution_bulk_progress"),
    ]


def _page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    bulk_operation = _bulk_operation(model_admin, request, pk)
    context = {
        **model_admin.admin_site.each_context(request),
        **_progress(request, bulk_operation),
        "title": NAMES[Operation(bulk_operation.operation)],
        "pace": pace(Operation(bulk_operation.operation)),
        "opts": BulkOperation._meta,
        "reason": bulk_operation.reason if request.user.has_perm(PERSONAL) else "",
    }
    return TemplateResponse(request, "admin/sagas/bulk_progress.html", context)


def _part(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Render the part that JavaScript reloads. 304 if it has not changed."""
    bulk_operation = _bulk_operation(model_admin, request, pk)
    response = HttpResponse(
        render_to_string("admin/sagas/_bulk_progress.html", _progress(request, bulk_operation), request)
    )
    response["Cache-Control"] = "private, no-cache"
    set_response_etag(response)
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


def _bulk_operation(model_admin: Any, request: HttpRequest, pk: int) -> BulkOperation:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    return get_object_or_404(BulkOperation.objects.using(database.alias()), pk=pk)


def _progress(request: HttpRequest, bulk_operation: BulkOperation) -> dict[str, Any]:
    counts = bulk.counts(bulk_operation)
    show = request.GET.get("show", "")
    items = BulkItem.objects.using(database.alias()).filter(bulk_operation=bulk_operation).order_by("pk")
    items = items.select_related("execution").defer(*(f"execution__{name}" for name in JSON_COLUMNS))
    if show in bulk.PROGRESS:
        items = items.filter(bulk.PROGRESS[show])
    total, open_ = sum(counts.values()), counts["waiting"] + counts["running"]
    return {
        "bulk_operation": bulk_operation,
        "total": total,
        "ended": total - open_,
        "finished": not open_,
        "message": _message(counts),
        "groups": [{"key": key, "label": LABELS[key], "count": count} for key, count in counts.items()],
        "show": show if show in LABELS else "",
        "rows": Paginator(items, ITEMS_PER_PAGE).get_page(request.GET.get("page")),
    }


def _message(counts: dict[str, int]) -> str:
    """Describe the progress. The text changes rarely, because screen readers read out each change."""
    if not counts["waiting"] and not counts["running"]:
        return gettext("Finished.")
    workers = SagaWorker.objects.using(database.alias())
    if not workers.filter(seen_at__gte=ago(SagaWorker.UNSEEN)).exists():
        return gettext("No worker is running. It continues when one starts.")
    if counts["waiting"]:
        return gettext("It continues by itself. You can close this page.")
    return gettext("The last executions are running.")
