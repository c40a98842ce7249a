"""The list of worker processes."""

from __future__ import annotations

from django.contrib import admin

from sagas.models import SagaWorker

from .base import ReadOnly


@admin.register(SagaWorker)
class SagaWorkerAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Worker processes with their last heartbeat."""

    list_display = ("name", "cluster", "running", "free", "stuck", "draining", "started_at", "seen_at")
    ordering = ("cluster", "name")
