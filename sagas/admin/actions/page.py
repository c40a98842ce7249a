"""The page of one operation. It shows a preview, and performs the operation when the user confirms."""

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
    """Show the preview of an operation, or perform the operation that was previewed.

    Subclasses override `form` if they need more than a reason.
    """

    template = "admin/sagas/operation.html"

    def __init__(
        self, site: admin.AdminSite, request: HttpRequest, execution: SagaExecution, operation: Operation
    ) -> None:
        self.site, self.request, self.execution, self.operation = site, request, execution, operation
        self.personal = request.user.has_perm(PERSONAL)

    def response(self) -> HttpResponse:
        """Return the preview, a redirect after success, or the reason why the operation is blocked (409)."""
        try:
            return self.confirm_or_show_again() if self.request.method == "POST" else self.show()
        except CorrectionOnly as error:
            # The input was corrected, but the operation that follows was refused.
            messages.warning(self.request, as_sentence(self.redacted(error.sentence)))
            return HttpResponseRedirect(self.execution_url)
        except ActRefused as error:
            return self.blocked(self.redacted(error.sentence))
        except UnreadableRow as error:
            return self.rendered(BLOCKED, CONFLICT, why_not=cannot_be_read(error.column))

    def confirm_or_show_again(self) -> HttpResponse:
        """Perform the operation. Show the preview again if the execution has changed meanwhile."""
        try:
            return self.confirm()
        except VersionMoved:
            return self.show_again()

    def show(self) -> HttpResponse:
        """Render the preview. Raise ActRefused if the operation is blocked."""
        preview = self.preview()
        return self.page(preview, self.form(preview))

    def confirm(self) -> HttpResponse:
        """Perform the operation if the execution still has the version that was previewed.

        Otherwise render the current preview, and also if the form is not valid. Raises VersionMoved if the version
        changes at the same moment (promise 16).
        """
        preview = self.preview()
        if self.request.POST.get("version") != str(preview.version):
            return self.show_again()
        form = self.form(preview, self.request.POST)
        if not form.is_valid():
            return self.page(preview, form)
        try:
            execution = self.perform(form)
        except InvalidInput as error:
            # Show the errors at the stored field, if the form has one.
            for key, sentence in error.errors.items():
                message = f"{key}: {sentence}" if key and key != form.stored_field else sentence
                form.add_error(form.stored_field, self.redacted(message))
            return self.page(preview, form)
        return self.done(result_message(self.operation, execution))

    def preview(self) -> Preview:
        """Return what the operation would do now. Raise ActRefused if it is blocked."""
        return operations.plan(self.operation, self.execution.saga_id)

    def form(self, preview: Preview, data: Any = None, **initial: Any) -> OperationForm:
        """Return the form below the preview, filled with `data` if it was submitted."""
        return OperationForm(data, initial={"version": preview.version, **initial}, refund=self.text(preview).refund)

    def perform(self, form: OperationForm) -> SagaExecution:
        """Perform the operation at the previewed version, and return the new row. The form must be valid.

        Raises ActRefused, VersionMoved or InvalidInput.
        """
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
        """Describe the preview in sentences, redacted for this user.

        Loads the execution after the preview was made, so the text is never older than the version in the form.
        """
        view = self.view()
        return describe(preview, view, self.redactor_for(view))

    def view(self) -> ExecutionView:
        """Load the execution with its history."""
        return load_view(self.execution.saga_id)

    def redactor_for(self, view: ExecutionView) -> Redactor:
        """Return the redactor for this user."""
        return redactor_for(view.execution, view.saga, personal=self.personal)

    def redacted(self, text: str) -> str:
        """Return the text without the values that this user may not see."""
        view = self.view()
        if view.saga is None:  # our own text, without any values
            return text
        redacted: str = self.redactor_for(view)(text)
        return redacted

    def show_again(self) -> HttpResponse:
        """Render the current preview with a notice (409). Keep the reason that the user typed."""
        preview = self.preview()
        form = self.form(preview, reason=self.request.POST.get("reason", ""))
        return self.page(preview, form, status=CONFLICT, notice=changed_meanwhile())

    def blocked(self, sentence: str) -> HttpResponse:
        """Say why the operation is blocked, and offer the operations that are possible (409)."""
        self.execution.refresh_from_db(fields=["state", "held", "version"])
        buttons, _ = offered(self.request, self.execution)
        notice = changed_meanwhile() if self.request.method == "POST" else ""
        context = {"why_not": as_sentence(sentence), "buttons": buttons, "notice": notice}
        return self.rendered(BLOCKED, CONFLICT, **context)

    def done(self, sentence: str) -> HttpResponse:
        """Redirect to the page of the execution, which shows this message."""
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
        """Render a template with the admin's header and navigation. `context` goes to the template."""
        layout = self.site.each_context(self.request)
        common = {
            "title": label_of(self.operation, self.execution),
            "opts": SagaExecution._meta,
            "execution": self.execution,
            "execution_url": self.execution_url,
        }
        return TemplateResponse(self.request, template, {**layout, **common, **context}, status=status)


def changed_meanwhile() -> str:
    """Return the notice that nothing was done because the execution has changed."""
    return gettext("The case has changed since you opened this page, so nothing was done. Check it, then decide again.")
