"""The list of bulk operations."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from sagas.admin.base import Desk
from sagas.models import BulkOperation
from sagas.operations import Operation

from .labels import NAMES


@admin.register(BulkOperation)
class BulkOperationAdmin(Desk):
    """The list of bulk operations, newest first. Each row links to its progress page."""

    list_display = ("what", "actor_name", "created_at", "finished_at", "executions")
    ordering = ("-id",)
    show_full_result_count = False
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkOperation]:
        """Add the number of executions to each row."""
        bulk_operations: QuerySet[BulkOperation] = super().get_queryset(request)
        return bulk_operations.annotate(count=Count("items"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the list, with the plural name as its title."""
        return super().changelist_view(request, {"title": capfirst(self.opts.verbose_name_plural)})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Redirect to the progress page, which checks the permission. 404 if there is no such operation."""
        bulk_operation = self.get_object(request, object_id)
        if bulk_operation is None:
            raise Http404
        return redirect("admin:sagas_sagaexecution_bulk_operation", bulk_operation.pk)

    @admin.display(description=_("operation"))
    def what(self, bulk_operation: BulkOperation) -> str:
        """The label of the operation."""
        return str(NAMES[Operation(bulk_operation.operation)])

    @admin.display(description=_("executions"))
    def executions(self, bulk_operation: Any) -> int:
        """The number of executions."""
        count: int = bulk_operation.count
        return count
