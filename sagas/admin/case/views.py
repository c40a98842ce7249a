"""The file of a case: the page that tells what has become of an execution, and keeps telling while it goes on."""

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

from sagas.admin.actions import views as acts
from sagas.admin.actions.forms import NoteForm, RevealForm
from sagas.models import SagaExecution
from sagas.operations import Actor, note, reveal
from sagas.operations.permissions import PERSONAL, may_note
from sagas.presentation.labels import name_label
from sagas.presentation.redactor import Redactor, redactor_for
from sagas.storage import database

from .context import is_live, live_part, other_parts, waits
from .load import File, read

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[SagaExecution]

SEQUENCE = re.compile("[0-9]{1,18}")
FOR_THE_LOOK = ("saga_id", "version", "pending_request", "due_at", "leased", "state", "held")


def urls(model_admin: Admin) -> list[URLPattern]:
    """The page, its live part, and what is posted to it."""
    views = {"change": _page, "live": _live, "note": _note, "reveal": _reveal}
    wrap = model_admin.admin_site.admin_view
    return [
        path(f"<int:pk>/{what}/", wrap(partial(view, model_admin)), name=f"sagas_sagaexecution_{what}")
        for what, view in views.items()
    ]


def _page(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """The page; nobody changes anything by posting to it."""
    if request.method not in ("GET", "HEAD"):
        raise PermissionDenied
    return _rendered(model_admin, request, _file(model_admin, request, pk))


def _live(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """The part that changes while the execution goes on; 304 while it has not."""
    tag = _tag(request, _row(model_admin, request, pk))
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    file = _file(model_admin, request, pk)
    context = _live_context(request, file, _redactor(request, file))
    return TemplateResponse(request, "admin/sagas/_case.html", context, headers={"ETag": tag})


def _note(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """Keep what somebody writes about it."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    execution = _row(model_admin, request, pk)
    if not may_note(request.user):
        raise PermissionDenied
    form = _note_form(request.POST)
    if not form.is_valid():
        return _asked_again(model_admin, request, pk, form)
    note(execution.saga_id, form.cleaned_data["text"], by=Actor(user=request.user, source="admin"))
    messages.success(request, gettext("The note is kept."))
    return HttpResponseRedirect(reverse("admin:sagas_sagaexecution_change", args=[pk]))


def _reveal(model_admin: Admin, request: HttpRequest, pk: int) -> HttpResponse:
    """The page with the personal values in it, this once, for a reason that is kept."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    execution = _row(model_admin, request, pk)
    if not request.user.has_perm(PERSONAL):
        raise PermissionDenied
    form = _reveal_form(request.POST)
    if not form.is_valid():
        return _asked_again(model_admin, request, pk, form)
    reveal(execution.saga_id, form.cleaned_data["reason"], by=Actor(user=request.user, source="admin"))
    return _rendered(model_admin, request, _file(model_admin, request, pk), revealed=True)


def _note_form(data: Any = None) -> NoteForm:
    return NoteForm(data, auto_id="saga-note-%s", label_suffix="")


def _reveal_form(data: Any = None) -> RevealForm:
    return RevealForm(data, auto_id="saga-reveal-%s", label_suffix="")


def _asked_again(model_admin: Admin, request: HttpRequest, pk: int, sent: NoteForm | RevealForm) -> HttpResponse:
    """The page with the form as it was sent; it is far down, so the field that is refused has the focus."""
    for name in sent.errors:
        sent.fields[name].widget.attrs["autofocus"] = True
    return _rendered(model_admin, request, _file(model_admin, request, pk), sent=sent)


def _row(model_admin: Admin, request: HttpRequest, pk: int) -> SagaExecution:
    """The execution, with what can be read of any."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    row = SagaExecution.objects.using(database.alias()).only(*FOR_THE_LOOK).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _file(model_admin: Admin, request: HttpRequest, pk: int) -> File:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    before = request.GET.get("before", "")
    file = read(pk, before=int(before) if SEQUENCE.fullmatch(before) else None)
    if file is None:
        raise Http404
    return file


def _rendered(
    model_admin: Admin,
    request: HttpRequest,
    file: File,
    *,
    revealed: bool = False,
    sent: NoteForm | RevealForm | None = None,
) -> HttpResponse:
    redactor = _redactor(request, file)
    context = {
        **model_admin.admin_site.each_context(request),
        **_live_context(request, file, redactor),
        **other_parts(file, redactor, revealed=revealed),
        "title": str(file.view.execution),
        "what": name_label(file.view.execution.saga_name),
        "opts": model_admin.opts,
        "tag": _tag(request, file.view.execution),
        "note_form": sent if isinstance(sent, NoteForm) else _note_form(),
        "reveal_form": sent if isinstance(sent, RevealForm) else _reveal_form(),
        "may_note": may_note(request.user),
        "may_reveal": redactor.shows_personal,
    }
    return TemplateResponse(request, "admin/sagas/case.html", context)


def _live_context(request: HttpRequest, file: File, redactor: Redactor) -> dict[str, Any]:
    buttons, blocked_reasons = acts.offered(request, file.view.execution, file.view if file.operable else None)
    told = live_part(file, redactor)
    return {**told, "buttons": buttons, "refusals": blocked_reasons}


def _redactor(request: HttpRequest, file: File) -> Redactor:
    return redactor_for(file.view.execution, file.view.saga, personal=request.user.has_perm(PERSONAL))


def _tag(request: HttpRequest, execution: SagaExecution) -> str:
    """What the live part depends on: the row, and for whom it is told."""
    of_the_row = (execution.version, execution.pending_request, is_live(execution), waits(execution))
    parts = (*of_the_row, get_language(), request.user.pk)
    return '"{}"'.format("-".join(map(str, parts)))
