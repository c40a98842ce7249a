"""The bulk acts so far, newest first."""

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
    """A list of them, for who may see executions; each leads to its progress."""

    list_display = ("what", "actor_name", "created_at", "finished_at", "executions")
    ordering = ("-id",)
    show_full_result_count = False
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkOperation]:
        """With the number of their rows."""
        bulk_operations: QuerySet[BulkOperation] = super().get_queryset(request)
        return bulk_operations.annotate(count=Count("items"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With a title that says what is listed."""
        return super().changelist_view(request, {"title": capfirst(self.opts.verbose_name_plural)})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The batch's page, which asks itself who may see it."""
        bulk_operation = self.get_object(request, object_id)
        if bulk_operation is None:
            raise Http404
        return redirect("admin:sagas_sagaexecution_bulk_operation", bulk_operation.pk)

    @admin.display(description=_("what"))
    def what(self, bulk_operation: BulkOperation) -> str:
        """The act in words."""
        return str(NAMES[Operation(bulk_operation.operation)])

    @admin.display(description=_("executions"))
    def executions(self, bulk_operation: Any) -> int:
        """How many."""
        count: int = bulk_operation.count
        return count
