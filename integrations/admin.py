"""Show the sandboxes in the admin: their effects (read-only), and the faults to inject."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from integrations.models import SandboxEffect, SandboxFault


@admin.register(SandboxEffect)
class SandboxEffectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """The effects of the sandboxes, read-only."""

    list_display = ["created_at", "port", "operation", "idempotency_key", "state", "external_id", "calls"]
    list_filter = ["port", "operation", "state"]
    search_fields = ["idempotency_key", "external_id"]
    ordering = ["-pk"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SandboxFault)
class SandboxFaultAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """The faults to inject into the next sandbox calls."""

    list_display = ["__str__", "port", "operation", "match", "mode", "remaining", "latency_ms"]
    list_filter = ["port", "mode"]
    ordering = ["-pk"]
