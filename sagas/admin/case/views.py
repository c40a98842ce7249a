"""The page of one execution, its part that updates itself, and its forms."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.cache import get_conditional_response
from django.utils.translation import get_language, gettext

from sagas.admin.actions.buttons import offered
from sagas.admin.actions.forms import NoteForm, RevealForm
from sagas.admin.base import cannot_be_read
from sagas.definition.exceptions import UnreadableRow
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.operations import Actor, note, reveal
from sagas.operations.permissions import PERSONAL, may_note
from sagas.presentation.labels import name_label
from sagas.presentation.redactor import Redactor, redactor_for
from sagas.storage import database

from .context import Details, is_live, live_part, load_details, static_part

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[SagaExecution]

SEQUENCE = re.compile("[0-9]{1,18}")
ROW_COLUMNS = ("saga_id", "version", "pending_request", "due_at", "leased", "state", "held")


def urls(model_admin: Admin) -> list[URLPattern]:
    """Return the URL patterns of the page, its live part, and the note and reveal forms."""
    views = {"change": _page, "live": _live, "note": _note, "reveal": _reveal}
    wrap = model_admin.admin_site.admin_view
    return [
        path(f"<int:pk>/{name}/", wrap(partial(view, model_admin)), name=f"sagas_sagaexecution_{name}")
        for name, view in views.items()
    ]


def _page(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """Render the page. POST is 403: it would be Django's change form, which no user may use."""
    if request.method not in ("GET", "HEAD"):
        raise PermissionDenied
    return _rendered(model_admin, request, pk)


def _live(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """Render the part that updates itself. 304 if it has not changed."""
    tag = _tag(request, _row(model_admin, request, pk))
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    try:
        details = _details(model_admin, request, pk)
        context, _ = _live_context(request, details)
    except UnreadableRow as error:
        return HttpResponse(cannot_be_read(error.column), status=409)
    return TemplateResponse(request, "admin/sagas/_case.html", context, headers={"ETag": tag})


def _note(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """Add a note."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    execution = _row(model_admin, request, pk)
    if not may_note(request.user):
        raise PermissionDenied
    form = _note_form(request.POST)
    if not form.is_valid():
        return _show_errors(model_admin, request, pk, form)
    note(execution.saga_id, form.cleaned_data["text"], by=Actor(user=request.user, source="admin"))
    messages.success(request, gettext("Note added."))
    return HttpResponseRedirect(reverse("admin:sagas_sagaexecution_change", args=[pk]))


def _reveal(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """Record the reason, and render the page once with personal values."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    execution = _row(model_admin, request, pk)
    if not request.user.has_perm(PERSONAL):
        raise PermissionDenied
    form = _reveal_form(request.POST)
    if not form.is_valid():
        return _show_errors(model_admin, request, pk, form)
    reveal(execution.saga_id, form.cleaned_data["reason"], by=Actor(user=request.user, source="admin"))
    return _rendered(model_admin, request, pk, revealed=True)


# The forms need different ids, because both are on one page.
_note_form = partial(NoteForm, auto_id="saga-note-%s", label_suffix="")
_reveal_form = partial(RevealForm, auto_id="saga-reveal-%s", label_suffix="")


def _show_errors(model_admin: Admin, request: HttpRequest, pk: int, sent: NoteForm | RevealForm) -> HttpResponse:
    """Render the page with the invalid form. Focus the wrong field, because the form is far down the page."""
    for name in sent.errors:
        sent.fields[name].widget.attrs["autofocus"] = True
    return _rendered(model_admin, request, pk, sent=sent)


def _row(model_admin: Admin, request: HttpRequest, pk: int) -> SagaExecution:
    """Load only columns that are never damaged. 404 if there is no such execution."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    row = SagaExecution.objects.using(database.alias()).only(*ROW_COLUMNS).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _details(model_admin: Admin, request: HttpRequest, pk: int) -> Details:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    before = request.GET.get("before", "")
    details = load_details(pk, before=int(before) if SEQUENCE.fullmatch(before) else None)
    if details is None:
        raise Http404
    return details


def _rendered(
    model_admin: Admin,
    request: HttpRequest,
    pk: int,
    *,
    revealed: bool = False,
    sent: NoteForm | RevealForm | None = None,
) -> HttpResponse:
    try:
        details = _details(model_admin, request, pk)
        live, redactor = _live_context(request, details)
        static = static_part(details, redactor, revealed=revealed)
    except UnreadableRow as error:
        return _unreadable(model_admin, request, pk, error)
    execution = details.view.execution
    context = {
        **model_admin.admin_site.each_context(request),
        **live,
        **static,
        "title": str(execution),
        "what": name_label(execution.saga_name),
        "opts": model_admin.opts,
        "tag": _tag(request, execution),
        "note_form": sent if isinstance(sent, NoteForm) else _note_form(),
        "reveal_form": sent if isinstance(sent, RevealForm) else _reveal_form(),
        "may_note": may_note(request.user),
        "may_reveal": redactor.shows_personal,
    }
    return TemplateResponse(request, "admin/sagas/case.html", context)


def _unreadable(model_admin: Admin, request: HttpRequest, pk: int, error: UnreadableRow) -> HttpResponse:
    """Render a page that says which column is damaged."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _row(model_admin, request, pk).saga_id,
        "opts": model_admin.opts,
        "sentence": cannot_be_read(error.column),
    }
    return TemplateResponse(request, "admin/sagas/case_unreadable.html", context)


def _live_context(request: HttpRequest, details: Details) -> tuple[dict[str, Any], Redactor]:
    """Return the context of the live part, and the redactor for this user."""
    view = details.view
    redactor = redactor_for(view.execution, view.saga, personal=request.user.has_perm(PERSONAL))
    buttons, blocked = offered(request, view.execution, view)
    return {**live_part(details, redactor), "buttons": buttons, "blocked": blocked}, redactor


def _tag(request: HttpRequest, execution: SagaExecution) -> str:
    """Return the ETag of the live part. It depends on the row, the language and the user."""
    due = execution.due_at
    waits = due is not None and due > CLOCK.by_host()
    row_state = (execution.version, execution.pending_request, is_live(execution), waits)
    parts = (*row_state, get_language(), request.user.pk)
    return '"{}"'.format("-".join(map(str, parts)))
