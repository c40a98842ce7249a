"""One act on many executions: chosen in the list, foretold and confirmed on a page, followed on another."""

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

from sagas.models import BulkOperation, SagaExecution
from sagas.operations import Actor, Operation, bulk
from sagas.operations.permissions import NEEDS, PERSONAL

from . import progress as bulk_progress
from .labels import NAMES, forgotten, told, too_many
from .selection import FIELD, Choice, ConfirmForm, remember, remembered

Admin = Any  # the ModelAdmin of executions
Action = Callable[[Admin, HttpRequest, QuerySet[SagaExecution]], HttpResponse | None]


def _action(operation: Operation) -> Action:
    @admin.action(description=NAMES[operation], permissions=[operation.value])
    def lead_to_preview(model_admin: Admin, request: HttpRequest, chosen: QuerySet[SagaExecution]) -> Any:
        pks = list(chosen.order_by("pk").values_list("pk", flat=True)[: bulk.MAX_ITEMS + 1])
        if len(pks) > bulk.MAX_ITEMS:
            model_admin.message_user(request, too_many(), messages.ERROR)
            return None
        page = resolve_url("admin:sagas_sagaexecution_bulk_preview")
        return redirect(f"{page}?{FIELD}={remember(request, operation, pks)}")

    lead_to_preview.__name__ = f"bulk_{operation.value}"
    return lead_to_preview


ACTIONS = [
    _action(operation) for operation in (Operation.RETRY, Operation.HOLD, Operation.RELEASE, Operation.ACKNOWLEDGE)
]


class Bulk:
    """What an admin of executions needs for ACTIONS: who may take which."""

    actions: Any = ACTIONS

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return _may(request, Operation.RETRY)

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return _may(request, Operation.HOLD)

    def has_release_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return _may(request, Operation.RELEASE)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return _may(request, Operation.ACKNOWLEDGE)


def urls(model_admin: Admin) -> list[URLPattern]:
    """Confirming a bulk act, and following it."""
    view = model_admin.admin_site.admin_view(partial(_answer, model_admin))
    return [path("bulk/", view, name="sagas_sagaexecution_bulk_preview"), *bulk_progress.urls(model_admin)]


def _answer(model_admin: Admin, request: HttpRequest) -> HttpResponse:
    """The page, or the batch that somebody confirms on it; who comes back to the page then is led to the batch."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    sent = request.method == "POST"
    choice = Choice.sent_by(request) if sent else remembered(request)
    if choice is None:
        model_admin.message_user(request, forgotten(), messages.WARNING)
        return redirect("admin:sagas_sagaexecution_changelist")
    if not _may(request, choice.operation):
        raise PermissionDenied
    bulk_operation = _confirmed(request, choice) if sent else bulk.find(choice.token)
    if bulk_operation is None:
        return _preview(model_admin, request, choice)
    return redirect("admin:sagas_sagaexecution_bulk_operation", bulk_operation.pk)


def _confirmed(request: HttpRequest, choice: Choice) -> BulkOperation | None:
    """The one batch of the page that was sent; None where it was not filled in."""
    form = ConfirmForm(request.POST, choice=choice)
    if not form.is_valid():
        return None
    by = Actor(user=request.user, source="admin")
    return bulk.confirm(choice.token, choice.operation, choice.rows, reason=form.cleaned_data["reason"], by=by)


def _preview(model_admin: Admin, request: HttpRequest, chosen: Choice) -> HttpResponse:
    """What the act would do to each as it is now, with what was typed."""
    preview = bulk.plan(chosen.operation, chosen.pks, personal=request.user.has_perm(PERSONAL))
    choice = replace(chosen, rows=preview.rows, moves_money=preview.moves_money)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": NAMES[choice.operation],
        "opts": model_admin.opts,
        "told": told(preview),
        "form": ConfirmForm(request.POST or None, choice=choice),
        "sealed": choice.sealed(request),
    }
    return TemplateResponse(request, "admin/sagas/bulk_preview.html", context)


def _may(request: HttpRequest, operation: Operation) -> bool:
    return bool(request.user.has_perm(NEEDS[operation]))
