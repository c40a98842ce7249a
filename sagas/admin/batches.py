"""The bulk acts so far, newest first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from sagas.models import SagaBatch
from sagas.operations import Act

from .bulk_words import NAMES
from .readonly import Desk


@admin.register(SagaBatch)
class SagaBatchAdmin(Desk):
    """A list of them, for who may see executions; each leads to its progress."""

    list_display = ("what", "actor_name", "created_at", "finished_at", "executions")
    ordering = ("-id",)
    show_full_result_count = False
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[SagaBatch]:
        """With the number of their rows."""
        batches: QuerySet[SagaBatch] = super().get_queryset(request)
        return batches.annotate(count=Count("rows"))

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
        batch = self.get_object(request, object_id)
        if batch is None:
            raise Http404
        return redirect("admin:sagas_sagaexecution_batch", batch.pk)

    @admin.display(description=_("what"))
    def what(self, batch: SagaBatch) -> str:
        """The act in words."""
        return str(NAMES[Act(batch.act)])

    @admin.display(description=_("executions"))
    def executions(self, batch: Any) -> int:
        """How many."""
        count: int = batch.count
        return count
