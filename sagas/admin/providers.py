"""What the steps call, and how that goes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from sagas.models import Provider

from .readonly import Desk


@admin.register(Provider)
class ProviderAdmin(Desk):
    """What the steps call, and how that goes."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.page(request, "admin/sagas/providers.html")
