"""Bulk operations: the actions of the list, and the page that previews and confirms one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext

from sagas.models import BulkOperation, SagaExecution
from sagas.operations import Actor, Operation, bulk
from sagas.operations.permissions import NEEDS, PERSONAL

from . import progress as bulk_progress
from .labels import NAMES, preview_context
from .selection import FIELD, ConfirmForm, Selection, remember, remembered

Admin = Any  # the ModelAdmin of executions
Action = Callable[[Admin, HttpRequest, QuerySet[SagaExecution]], HttpResponse | None]


def _list_action(operation: Operation) -> Action:
    @admin.action(description=NAMES[operation], permissions=[operation.value])
    def redirect_to_preview(model_admin: Admin, request: HttpRequest, chosen: QuerySet[SagaExecution]) -> Any:
        pks = list(chosen.order_by("pk").values_list("pk", flat=True)[: bulk.MAX_ITEMS + 1])
        if len(pks) > bulk.MAX_ITEMS:
            sentence = gettext(
                "A bulk operation takes at most %(most)d executions, and more are selected. Filter the list first."
            )
            model_admin.message_user(request, sentence % {"most": bulk.MAX_ITEMS}, messages.ERROR)
            return None
        page = resolve_url("admin:sagas_sagaexecution_bulk_preview")
        return redirect(f"{page}?{FIELD}={remember(request, operation, pks)}")

    redirect_to_preview.__name__ = f"bulk_{operation.value}"
    return redirect_to_preview


ACTIONS = [
    _list_action(operation) for operation in (Operation.RETRY, Operation.HOLD, Operation.RELEASE, Operation.ACKNOWLEDGE)
]


def _permission_for(operation: Operation) -> Callable[[Any, HttpRequest], bool]:
    """Return the method that Django calls to check whether the user may start the operation."""

    def has_permission(_model_admin: Any, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(NEEDS[operation]))

    return has_permission


class BulkActions:
    """Mixin of the ModelAdmin of executions: the bulk actions and their permissions."""

    actions: Any = ACTIONS
    has_retry_permission = _permission_for(Operation.RETRY)
    has_hold_permission = _permission_for(Operation.HOLD)
    has_release_permission = _permission_for(Operation.RELEASE)
    has_acknowledge_permission = _permission_for(Operation.ACKNOWLEDGE)


def urls(model_admin: Admin) -> list[URLPattern]:
    """Return the URL patterns of the preview and of the progress page."""
    view = model_admin.admin_site.admin_view(partial(_preview_or_confirm, model_admin))
    return [path("bulk/", view, name="sagas_sagaexecution_bulk_preview"), *bulk_progress.urls(model_admin)]


def _preview_or_confirm(model_admin: Admin, request: HttpRequest) -> HttpResponse:
    """Show the preview (GET) or confirm it (POST). Redirect to the progress page once it is confirmed."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    posted = request.method == "POST"
    selection = Selection.sent_by(request) if posted else remembered(request)
    if selection is None:
        sentence = gettext(
            "The selection has expired. Select the executions again; "
            "bulk operations that were confirmed are in their list."
        )
        model_admin.message_user(request, sentence, messages.WARNING)
        return redirect("admin:sagas_sagaexecution_changelist")
    if not request.user.has_perm(NEEDS[selection.operation]):
        raise PermissionDenied
    bulk_operation = _confirm(request, selection) if posted else bulk.find(selection.token)
    if bulk_operation is None:
        return _preview(model_admin, request, selection)
    return redirect("admin:sagas_sagaexecution_bulk_operation", bulk_operation.pk)


def _confirm(request: HttpRequest, selection: Selection) -> BulkOperation | None:
    """Create the bulk operation of this preview, or find it if it exists. None if the form is not valid."""
    form = ConfirmForm(request.POST, selection=selection)
    if not form.is_valid():
        return None
    by = Actor(user=request.user, source="admin")
    return bulk.confirm(selection.token, selection.operation, selection.rows, reason=form.cleaned_data["reason"], by=by)


def _preview(model_admin: Admin, request: HttpRequest, chosen: Selection) -> HttpResponse:
    """Render the preview, with the form as the user submitted it."""
    preview = bulk.plan(chosen.operation, chosen.pks, personal=request.user.has_perm(PERSONAL))
    selection = replace(chosen, rows=preview.rows, moves_money=preview.moves_money)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": NAMES[selection.operation],
        "opts": model_admin.opts,
        "preview": preview_context(preview),
        "form": ConfirmForm(request.POST or None, selection=selection),
        "sealed": selection.sealed(request),
    }
    return TemplateResponse(request, "admin/sagas/bulk_preview.html", context)
