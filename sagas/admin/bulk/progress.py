"""How far a bulk act is: a page that goes on by itself where JavaScript is there, and by a link where it is not."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.cache import get_conditional_response, set_response_etag
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin.unreadable import OF_EXECUTIONS
from sagas.models import BulkItem, BulkOperation, SagaWorker
from sagas.models.querysets import ago
from sagas.operations import Operation, bulk
from sagas.operations.permissions import PERSONAL
from sagas.storage import database

from .labels import NAMES, pace

A_PAGE = 50
LABELS = {
    "waiting": _("Waiting for their turn"),
    "running": _("Under way"),
    "succeeded": _("Succeeded"),
    "failed": _("Failed"),
    "needs_attention": _("Need a person"),
    "refused": _("Not done"),
}


def urls(model_admin: Any) -> list[URLPattern]:
    """The page of a batch, and the part of it that changes."""
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
    """The part that changes, or 304 where it has not."""
    bulk_operation = _bulk_operation(model_admin, request, pk)
    response = HttpResponse(render_to_string("admin/sagas/_bulk_progress.html", _progress(request, bulk_operation), request))
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
    total, open_ = sum(counts.values()), counts["waiting"] + counts["running"]
    rows = Paginator(_rows(bulk_operation, show), A_PAGE).get_page(request.GET.get("page"))
    return {
        "batch": bulk_operation,
        "total": total,
        "ended": total - open_,
        "over": not open_,
        "said": _said(counts),
        "groups": [{"key": key, "label": LABELS[key], "count": count} for key, count in counts.items()],
        "show": show if show in LABELS else "",
        "rows": rows,
    }


def _rows(bulk_operation: BulkOperation, show: str) -> QuerySet[BulkItem]:
    rows = (
        BulkItem.objects.using(database.alias())
        .filter(bulk_operation=bulk_operation)
        .order_by("pk")
        .select_related("execution")
    )
    rows = rows.defer(*(f"execution__{name}" for name in OF_EXECUTIONS))
    return rows.filter(bulk.PROGRESS[show]) if show in bulk.PROGRESS else rows


def _said(counts: dict[str, int]) -> str:
    """How it goes, in a sentence that changes seldom, for it is read out when it does."""
    if not counts["waiting"] and not counts["running"]:
        return gettext("It is finished.")
    if not _workers_alive():
        return gettext("No worker is running: it goes on when one does.")
    if counts["waiting"]:
        return gettext("It goes on by itself, also when you close this page.")
    return gettext("The last of them are under way.")


def _workers_alive() -> bool:
    workers = SagaWorker.objects.using(database.alias())
    return workers.filter(seen_at__gte=ago(SagaWorker.UNSEEN)).exists()
