"""The page of one operation: it shows a preview, and performs the operation when the user confirms it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from sagas import operations
from sagas.admin.base import cannot_be_read
from sagas.definition.exceptions import ActRefused, CorrectionOnly, InvalidInput, UnreadableRow, VersionMoved
from sagas.models import SagaExecution
from sagas.operations import Actor, Operation, Preview
from sagas.operations.permissions import PERSONAL
from sagas.operations.preview_text import PreviewText, describe
from sagas.presentation.execution_view import ExecutionView, load_view
from sagas.presentation.redactor import Redactor, redactor_for

from .buttons import as_sentence, offered
from .forms import OperationForm
from .labels import label_of, result_message

BLOCKED = "admin/sagas/operation_blocked.html"
CONFLICT = 409


class OperationPage:
    """Shows the preview, or performs what it previewed. Subclasses override `form` to ask for more than a reason."""

    template = "admin/sagas/operation.html"

    def __init__(
        self, site: admin.AdminSite, request: HttpRequest, execution: SagaExecution, operation: Operation
    ) -> None:
        self.site, self.request, self.execution, self.operation = site, request, execution, operation
        self.personal = request.user.has_perm(PERSONAL)

    def response(self) -> HttpResponse:
        """Answer the request: preview, redirect after success, or the reason why it is blocked."""
        try:
            return self.confirm_or_show_again() if self.request.method == "POST" else self.show()
        except CorrectionOnly as error:
            # The correction was made, but not the operation after it.
            messages.warning(self.request, as_sentence(self.redacted(error.sentence)))
            return HttpResponseRedirect(self.execution_url)
        except ActRefused as error:
            return self.blocked(self.redacted(error.sentence))
        except UnreadableRow as error:
            return self.rendered(BLOCKED, CONFLICT, why_not=cannot_be_read(error.column))

    def confirm_or_show_again(self) -> HttpResponse:
        """Perform it; show the preview again if the execution has changed meanwhile."""
        try:
            return self.confirm()
        except VersionMoved:
            return self.show_again()

    def show(self) -> HttpResponse:
        """Render the preview."""
        preview = self.preview()
        return self.page(preview, self.form(preview))

    def confirm(self) -> HttpResponse:
        """Perform the operation if the version is still the one that was previewed."""
        preview = self.preview()
        if self.request.POST.get("version") != str(preview.version):
            return self.show_again()
        form = self.form(preview, self.request.POST)
        if not form.is_valid():
            return self.page(preview, form)
        try:
            execution = self.perform(form)
        except InvalidInput as error:
            # Show each error at the field that it is about, if the form has it.
            for key, sentence in error.errors.items():
                message = f"{key}: {sentence}" if key and key != form.stored_field else sentence
                form.add_error(form.stored_field, self.redacted(message))
            return self.page(preview, form)
        return self.done(result_message(self.operation, execution))

    def preview(self) -> Preview:
        """Return what the operation would do now; raise ActRefused if it is blocked."""
        return operations.plan(self.operation, self.execution.saga_id)

    def form(self, preview: Preview, data: Any = None, **initial: Any) -> OperationForm:
        """Return the form below the preview."""
        return OperationForm(data, initial={"version": preview.version, **initial}, refund=self.text(preview).refund)

    def perform(self, form: OperationForm) -> SagaExecution:
        """Perform the operation at the previewed version."""
        cleaned, by = form.cleaned_data, Actor(user=self.request.user, source="admin")
        return operations.perform(
            self.operation,
            self.execution.saga_id,
            reason=cleaned["reason"],
            by=by,
            version=cleaned["version"],
            **form.parameters,
        )

    def text(self, preview: Preview) -> PreviewText:
        """Describe the preview; the execution is read after it, so that the text is never older than the version."""
        view = self.view()
        return describe(preview, view, self.redactor_for(view))

    def view(self) -> ExecutionView:
        """Load the execution with its history."""
        return load_view(self.execution.saga_id)

    def redactor_for(self, view: ExecutionView) -> Redactor:
        """Return the redactor for this user."""
        return redactor_for(view.execution, view.saga, personal=self.personal)

    def redacted(self, text: str) -> str:
        """Redact the text for this user."""
        view = self.view()
        if view.saga is None:  # the text comes from us and contains no values
            return text
        redacted: str = self.redactor_for(view)(text)
        return redacted

    def show_again(self) -> HttpResponse:
        """Render the current preview, and keep the reason."""
        preview = self.preview()
        form = self.form(preview, reason=self.request.POST.get("reason", ""))
        return self.page(preview, form, status=CONFLICT, notice=changed_meanwhile())

    def blocked(self, sentence: str) -> HttpResponse:
        """Say why it is blocked, and offer what is possible instead."""
        self.execution.refresh_from_db(fields=["state", "held", "version"])
        buttons, _ = offered(self.request, self.execution)
        notice = changed_meanwhile() if self.request.method == "POST" else ""
        context = {"why_not": as_sentence(sentence), "buttons": buttons, "notice": notice}
        return self.rendered(BLOCKED, CONFLICT, **context)

    def done(self, sentence: str) -> HttpResponse:
        """Redirect to the execution, and show the message there."""
        messages.success(self.request, sentence)
        return HttpResponseRedirect(self.execution_url)

    @property
    def execution_url(self) -> str:
        """The URL of the execution's page."""
        return reverse("admin:sagas_sagaexecution_change", args=[self.execution.pk])

    def page(self, preview: Preview, form: OperationForm, status: int = 200, **context: Any) -> HttpResponse:
        """Render the preview with the form below it."""
        text = self.text(preview)
        return self.rendered(self.template, status, preview=preview, text=text, form=form, **context)

    def rendered(self, template: str, status: int = 200, **context: Any) -> HttpResponse:
        """Render a template within the admin's layout."""
        layout = self.site.each_context(self.request)
        common = {
            "title": label_of(self.operation, self.execution),
            "opts": SagaExecution._meta,
            "execution": self.execution,
            "execution_url": self.execution_url,
        }
        return TemplateResponse(self.request, template, {**layout, **common, **context}, status=status)


def changed_meanwhile() -> str:
    """Say that nothing was done because the execution has changed."""
    return gettext("The case has changed since you opened this page, so nothing was done. Check it, then decide again.")
