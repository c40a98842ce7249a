"""Base classes of the admin pages: rows are shown, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from sagas.operations.permissions import VIEW


class ReadOnly:
    """Mixin of a ModelAdmin whose rows nobody may add, change or delete."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows are written by sagas only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows are written by sagas only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows are written by sagas only."""
        return False


class NoStockPage:
    """Mixin that hides Django's change page, which would show every column unredacted."""

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Answer 404; our own pages have their own URLs."""
        raise Http404


class Desk(NoStockPage, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A page of its own in the admin index, for users who may view executions."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Require the permission to view executions."""
        return bool(request.user.has_perm(VIEW))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it in the index to the same users."""
        return self.has_view_permission(request)

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """Render a template within the admin's layout."""
        frame = self.admin_site.each_context(request)
        title = capfirst(self.opts.verbose_name_plural)
        return TemplateResponse(request, template, {**frame, "title": title, "opts": self.opts, **context})
