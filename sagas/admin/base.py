"""What all pages have in common: nobody adds, changes or deletes a row by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from sagas.operations.permissions import VIEW


class ReadOnly:
    """Nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


class NoStockPage:
    """A row has a page of our own, or none: Django's shows each column as it is stored, to whoever may see rows."""

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Nobody's, also at an address that only Python takes for a number."""
        raise Http404


class Desk(NoStockPage, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A page of its own among the models of the admin's index, for who may see executions."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see executions."""
        return bool(request.user.has_perm(VIEW))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """The same."""
        return self.has_view_permission(request)

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """The page of this desk, within the admin's frame."""
        frame = self.admin_site.each_context(request)
        title = capfirst(self.opts.verbose_name_plural)
        return TemplateResponse(request, template, {**frame, "title": title, "opts": self.opts, **context})
