"""The sandbox in the admin: its effects to look at, its faults to order."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from integrations.models import SandboxEffect, SandboxFault


@admin.register(SandboxEffect)
class SandboxEffectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """What the sandboxes did; nobody rewrites it."""

    list_display = ["created_at", "port", "operation", "idempotency_key", "state", "external_id", "calls"]
    list_filter = ["port", "operation", "state"]
    search_fields = ["idempotency_key", "external_id"]
    ordering = ["-pk"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds an effect by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes an effect by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes an effect by hand."""
        return False


@admin.register(SandboxFault)
class SandboxFaultAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """The faults that the sandboxes are to show."""

    list_display = ["__str__", "port", "operation", "match", "mode", "remaining", "latency_ms"]
    list_filter = ["port", "mode"]
    ordering = ["-pk"]
