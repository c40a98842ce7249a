"""The list of executions, and the file of each case."""

from __future__ import annotations

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import URLPattern

from sagas.models import SagaEvent, SagaExecution, StepRun

from . import acts
from .readonly import ReadOnly


class StepRunInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """An execution's attempts, in order."""

    model = StepRun
    fields = ("run", "step", "direction", "attempt", "outcome", "error_type", "started_at", "finished_at")
    ordering = ("sequence",)


class SagaEventInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """What people and the engine did to it."""

    model = SagaEvent
    fields = ("at", "kind", "actor_name", "source", "reason")
    ordering = ("id",)


@admin.register(SagaExecution)
class SagaExecutionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Executions with their history."""

    list_display = ("saga_id", "saga_name", "state", "failed_step", "needs_attention", "held", "created_at")
    list_filter = ("state", "saga_name", "needs_attention")
    search_fields = ("=saga_id", "=references__value")
    ordering = ("-created_at",)
    show_full_result_count = False
    inlines = (StepRunInline, SagaEventInline)
    fields = (
        "saga_id", "saga_name", "state", "held", "needs_attention", "run", "steps_completed", "failed_step",
        "compensation_performed", "priority", "created_at", "started_at", "finished_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[SagaExecution]:
        """Without what is not shown: one row that cannot be read would take the whole list with it."""
        return super().get_queryset(request).defer("input", "context", "plan", "steps_completed")

    def get_urls(self) -> list[URLPattern]:
        """Our own pages before the stock ones."""
        return [*acts.urls(self), *super().get_urls()]
