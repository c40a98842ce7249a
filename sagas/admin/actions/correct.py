"""The pages on which the input is corrected: a form, then what it would change and what follows, then both are done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext

from sagas.definition.exceptions import InvalidInput
from sagas.definition.states import SagaState
from sagas.models import SagaExecution
from sagas.operations import Actor
from sagas.operations.corrections import Correction, correct_and_go_on, plan_correction
from sagas.operations.handlers import definition_of
from sagas.operations.preview_text import describe
from sagas.presentation.redactor import redactor_for

from .forms import ActForm
from .input_form import PREFIX, VERSION, InputForm
from .page import CONFLICT, ActPage, moved

FORM = "admin/sagas/correct_input.html"
CONFIRM = "admin/sagas/correct_confirm.html"


@dataclass(frozen=True)
class Change:
    """A value of the input, before and after."""

    label: str
    before: str
    after: str


class CorrectPage(ActPage):
    """Asks twice: for the input, and whether what it changes is what was meant."""

    def shown(self, status: int = 200, **context: Any) -> HttpResponse:
        """The form, with today's input."""
        preview = self.preview()
        return self.rendered(FORM, status, preview=preview, form=self.input_form(), **context)

    def posted(self) -> HttpResponse:
        """The form comes first, then it comes again with a reason."""
        preview = self.preview()
        if self.request.POST.get(f"{PREFIX}-{VERSION}") != str(preview.version):
            return self.shown_anew()
        form = self.input_form(self.request.POST)
        try:
            if form.is_valid() and "edit" not in self.request.POST:
                return self.decided(form)
        except InvalidInput as error:
            form.add_errors(error)
        return self.rendered(FORM, preview=preview, form=form)

    def decided(self, form: InputForm) -> HttpResponse:
        """Do it where it was confirmed; else tell what it would do. Raises InvalidInput for the input."""
        correction = plan_correction(self.execution.saga_id, form.corrected())
        if not correction.changed:
            raise InvalidInput({"": gettext("Nothing has been changed.")})
        version, confirmed = form.cleaned_data[VERSION], "reason" in self.request.POST
        reason = ActForm(self.request.POST if confirmed else None, initial={"version": version})
        if not (confirmed and reason.is_valid()):
            return self.confirmation(correction, form, reason)
        by, why = Actor(user=self.request.user, source="admin"), reason.cleaned_data["reason"]
        execution = correct_and_go_on(self.execution.saga_id, form.corrected(), reason=why, by=by, version=version)
        return self.done(_outcome(execution))

    def confirmation(self, correction: Correction, form: InputForm, reason: ActForm) -> HttpResponse:
        """The difference, and what follows from it."""
        view, before = correction.view, correction.before
        redactor = redactor_for(view.execution, view.saga, personal=self.personal, corrected=before)
        told = describe(correction.preview, view, redactor)
        changes = [self._change(correction, form, key) for key in correction.changed]
        about: dict[str, Any] = {"told": told, "changes": changes, "input": form}
        return self.rendered(CONFIRM, preview=correction.preview, form=reason, **about)

    def shown_anew(self) -> HttpResponse:
        """The input as it is by now."""
        return self.shown(CONFLICT, notice=moved())

    def input_form(self, data: Any = None) -> InputForm:
        """The input's form, of the execution as it is now."""
        seen = self.view()
        return InputForm(definition_of(seen), seen.execution, personal=self.personal, data=data)

    def _change(self, correction: Correction, form: InputForm, key: str) -> Change:
        field = form.fields.get(key)
        before = f"[{key}]" if key in form.hidden else _shown(correction.before, key)
        after = _shown(correction.view.execution.input, key)
        if (
            not self.personal
        ):  # what the schema has made of values that the user did not see, who may see what they typed
            derived = key in form.hidden and key not in form.changed_data
            after = f"[{key}]" if derived else self.redacted(after)
        return Change(str(field.label if field else key), before, after)


def _shown(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None or value == "":
        return gettext("(empty)")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _outcome(execution: SagaExecution) -> str:
    if execution.state is SagaState.PENDING and execution.run > 1:
        return gettext("The input is corrected, and it starts again from the first step now; this page shows how.")
    return gettext("The input is corrected, and it goes on now; this page shows how.")
