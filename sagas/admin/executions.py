"""The list of executions, and the file of each case."""

from __future__ import annotations

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import URLPattern

from sagas.models import SagaExecution

from . import acts, bulk, case
from .bulk import Bulk
from .readonly import ReadOnly


@admin.register(SagaExecution)
class SagaExecutionAdmin(Bulk, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Executions with their history."""

    list_display = ("saga_id", "saga_name", "state", "failed_step", "needs_attention", "held", "created_at")
    list_filter = ("state", "saga_name", "needs_attention")
    search_fields = ("=saga_id", "=references__value")
    ordering = ("-created_at",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[SagaExecution]:
        """Without what is not shown: one row that cannot be read would take the whole list with it."""
        return super().get_queryset(request).defer("input", "context", "plan", "steps_completed")

    def get_urls(self) -> list[URLPattern]:
        """Our own pages before the stock ones."""
        return [*acts.urls(self), *bulk.urls(self), *case.urls(self), *super().get_urls()]
