"""The pages that correct an input: a form, then a confirmation that shows the changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext

from sagas.definition.exceptions import InvalidInput
from sagas.definition.states import SagaState
from sagas.operations import Actor
from sagas.operations.corrections import Correction, correct_and_go_on, plan_correction
from sagas.operations.handlers import definition_of
from sagas.operations.preview_text import describe
from sagas.presentation.redactor import redactor_for

from .forms import OperationForm
from .input_form import PREFIX, VERSION, InputForm
from .page import CONFLICT, OperationPage, changed_meanwhile

FORM = "admin/sagas/correct_input.html"
CONFIRM = "admin/sagas/correct_confirm.html"


@dataclass(frozen=True)
class Change:
    """A value of the input before and after the correction, both redacted."""

    label: str
    before: str
    after: str


class CorrectPage(OperationPage):
    """Ask for the corrected input, then for a reason and a confirmation."""

    def show(self, status: int = 200, **context: Any) -> HttpResponse:
        """Render the form with the current input."""
        preview = self.preview()
        return self.rendered(FORM, status, preview=preview, form=self.input_form(), **context)

    def confirm(self) -> HttpResponse:
        """Handle the submitted form. It is submitted twice: first without a reason, then with one.

        Shows the form again if the version has changed or the input is not valid.
        """
        preview = self.preview()
        if self.request.POST.get(f"{PREFIX}-{VERSION}") != str(preview.version):
            return self.show_again()
        form = self.input_form(self.request.POST)
        try:
            if form.is_valid() and "edit" not in self.request.POST:
                return self.confirm_or_perform(form)
        except InvalidInput as error:
            form.add_errors(error)
        return self.rendered(FORM, preview=preview, form=form)

    def confirm_or_perform(self, form: InputForm) -> HttpResponse:
        """Perform the correction if it is confirmed; otherwise show what it would change.

        Raises InvalidInput if the schema rejects the input or nothing has changed.
        """
        correction = plan_correction(self.execution.saga_id, form.corrected())
        if not correction.changed:
            raise InvalidInput({"": gettext("Nothing has been changed.")})
        version, confirmed = form.cleaned_data[VERSION], "reason" in self.request.POST
        reason = OperationForm(self.request.POST if confirmed else None, initial={"version": version})
        if not (confirmed and reason.is_valid()):
            return self.confirmation(correction, form, reason)
        by, why = Actor(user=self.request.user, source="admin"), reason.cleaned_data["reason"]
        execution = correct_and_go_on(self.execution.saga_id, form.corrected(), reason=why, by=by, version=version)
        if execution.state is SagaState.PENDING and execution.run > 1:
            return self.done(gettext("The input is corrected. Retrying from the first step; this page updates itself."))
        return self.done(gettext("The input is corrected, and the case continues. This page updates itself."))

    def confirmation(self, correction: Correction, form: InputForm, reason: OperationForm) -> HttpResponse:
        """Render the changes, and the preview of the operation that follows."""
        view, before = correction.view, correction.before
        redactor = redactor_for(view.execution, view.saga, personal=self.personal, corrected=before)
        text = describe(correction.preview, view, redactor)
        changes = [self._change(correction, form, key) for key in correction.changed]
        context: dict[str, Any] = {"text": text, "changes": changes, "input": form}
        return self.rendered(CONFIRM, preview=correction.preview, form=reason, **context)

    def show_again(self) -> HttpResponse:
        """Render the form with the current input, because the execution has changed (409)."""
        return self.show(CONFLICT, notice=changed_meanwhile())

    def input_form(self, data: Any = None) -> InputForm:
        """Return the form for the current input, filled with `data` if it was submitted."""
        view = self.view()
        return InputForm(definition_of(view), view.execution, personal=self.personal, data=data)

    def _change(self, correction: Correction, form: InputForm, key: str) -> Change:
        field = form.fields.get(key)
        before = f"[{key}]" if key in form.hidden else _shown(correction.before, key)
        after = _shown(correction.view.execution.input, key)
        if not self.personal:
            # The user may see a value that they typed, but not one that the schema derived from hidden values.
            derived = key in form.hidden and key not in form.changed_data
            after = f"[{key}]" if derived else self.redacted(after)
        return Change(str(field.label if field else key), before, after)


def _shown(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None or value == "":
        return gettext("(empty)")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
