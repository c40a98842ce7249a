"""The undos that are open."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from sagas.models import Compensation

from .readonly import Desk


@admin.register(Compensation)
class CompensationAdmin(Desk):
    """The undos that are open."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.page(request, "admin/sagas/compensations.html")
