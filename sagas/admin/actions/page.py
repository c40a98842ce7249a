"""The page of an act: what it would do, then, once somebody has said why, what has come of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from sagas import operations
from sagas.definition.exceptions import ActRefused, CorrectionOnly, InvalidInput, UnreadableRow, VersionMoved
from sagas.models import SagaExecution
from sagas.operations import Actor, Operation, Preview
from sagas.operations.permissions import PERSONAL
from sagas.operations.preview_text import PreviewText, describe
from sagas.presentation.execution_view import ExecutionView, load_view
from sagas.presentation.redactor import Redactor, redactor_for

from .buttons import as_sentence, offered, unreadable
from .forms import ActForm
from .labels import name_of, outcome_of

CONFLICT = 409


class ActPage:
    """Answers with the preview, or does what it previewed; subclasses ask for more than a reason."""

    template = "admin/sagas/operation.html"

    def __init__(
        self, site: admin.AdminSite, request: HttpRequest, execution: SagaExecution, operation: Operation
    ) -> None:
        self.site, self.request, self.execution, self.operation = site, request, execution, operation
        self.personal = request.user.has_perm(PERSONAL)

    def answer(self) -> HttpResponse:
        """The page, or where to go now that it is done."""
        try:
            return self.posted_or_shown_anew() if self.request.method == "POST" else self.shown()
        except CorrectionOnly as refusal:
            return self.half_done(refusal)
        except ActRefused as refusal:
            return self.refused(self.redacted(refusal.sentence))
        except UnreadableRow:
            return self.refused(unreadable())

    def posted_or_shown_anew(self) -> HttpResponse:
        """What came of the post; ActRefused where it has moved to where the act is not possible any more."""
        try:
            return self.posted()
        except VersionMoved:
            return self.shown_anew()

    def shown(self) -> HttpResponse:
        """What it would do."""
        preview = self.preview()
        return self.page(preview, self.form(preview))

    def posted(self) -> HttpResponse:
        """Do it, if it still is what was previewed."""
        preview = self.preview()
        if self.request.POST.get("version") != str(preview.version):
            return self.shown_anew()
        form = self.form(preview, self.request.POST)
        if not form.is_valid():
            return self.page(preview, form)
        try:
            execution = self.perform(form)
        except InvalidInput as error:
            self.add_errors(form, error)
            return self.page(preview, form)
        return self.done(outcome_of(self.operation, execution))

    def preview(self) -> Preview:
        """What the act would do now; ActRefused where it is not possible."""
        return operations.plan(self.operation, self.execution.saga_id)

    def form(self, preview: Preview, data: Any = None, **initial: Any) -> ActForm:
        """What is asked."""
        return ActForm(data, initial={"version": preview.version, **initial}, refund=self.told(preview).refund)

    def perform(self, form: ActForm) -> SagaExecution:
        """Do it, at the version that was previewed."""
        given, by = form.cleaned_data, Actor(user=self.request.user, source="admin")
        return operations.perform(
            self.operation,
            self.execution.saga_id,
            reason=given["reason"],
            by=by,
            version=given["version"],
            **form.parameters,
        )

    def add_errors(self, form: ActForm, error: InvalidInput) -> None:
        """Each sentence beside the field with what is refused, if there is one."""
        for key, sentence in error.errors.items():
            said = f"{key}: {sentence}" if key and key != form.stored_field else sentence
            form.add_error(form.stored_field, self.redacted(said))

    def told(self, preview: Preview) -> PreviewText:
        """The preview in words; looked at after it, so that what is told is never older than what is confirmed."""
        seen = self.view()
        return describe(preview, seen, self.redactor_for(seen))

    def view(self) -> ExecutionView:
        """The execution with its history, as it is now."""
        return load_view(self.execution.saga_id)

    def redactor_for(self, view: ExecutionView) -> Redactor:
        """The redactor for the user."""
        return redactor_for(view.execution, view.saga, personal=self.personal)

    def redacted(self, text: str) -> str:
        """The text without what is personal, unless the user may see that."""
        seen = self.view()
        if seen.saga is None:  # nothing but our own words is told then
            return text
        told: str = self.redactor_for(seen)(text)
        return told

    def shown_anew(self) -> HttpResponse:
        """The preview of what it is by now; what was typed as the reason stays."""
        preview = self.preview()
        form = self.form(preview, reason=self.request.POST.get("reason", ""))
        return self.page(preview, form, status=CONFLICT, notice=moved())

    def refused(self, sentence: str) -> HttpResponse:
        """Why not, and what is possible instead."""
        self.execution.refresh_from_db(fields=["state", "held", "version"])
        buttons, _ = offered(self.request, self.execution)
        moved_on = moved() if self.request.method == "POST" else ""
        told = {"why_not": as_sentence(sentence), "buttons": buttons, "notice": moved_on}
        return self.rendered("admin/sagas/operation_blocked.html", CONFLICT, **told)

    def half_done(self, refusal: CorrectionOnly) -> HttpResponse:
        """Back to the case file, with what went through and what did not."""
        messages.warning(self.request, as_sentence(self.redacted(refusal.sentence)))
        return HttpResponseRedirect(self.case_url)

    def done(self, sentence: str) -> HttpResponse:
        """Back to the case file, which shows what goes on."""
        messages.success(self.request, sentence)
        return HttpResponseRedirect(self.case_url)

    @property
    def case_url(self) -> str:
        """The execution's case file."""
        return reverse("admin:sagas_sagaexecution_change", args=[self.execution.pk])

    def page(self, preview: Preview, form: ActForm, status: int = 200, **context: Any) -> HttpResponse:
        """The preview with the form under it."""
        told = self.told(preview)
        return self.rendered(self.template, status, preview=preview, told=told, form=form, **context)

    def rendered(self, template: str, status: int = 200, **context: Any) -> HttpResponse:
        """A page within the admin's frame."""
        frame = self.site.each_context(self.request)
        about = {
            "title": name_of(self.operation, self.execution),
            "opts": SagaExecution._meta,
            "execution": self.execution,
            "case_url": self.case_url,
        }
        return TemplateResponse(self.request, template, {**frame, **about, **context}, status=status)


def moved() -> str:
    """What is said to who decided on what is no more."""
    return gettext("It has moved since you looked, and nothing was done. Look again, and decide then.")
