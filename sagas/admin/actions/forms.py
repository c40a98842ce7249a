"""The forms of the operations, of notes, and of the reveal of personal data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.operations.money import Amount, HiddenAmount

from .fields import JSONText, Text

MAX_LENGTH = 2000
EXAMPLE = '{"payment_id": "pi_1"}'
CONFIRM_AMOUNT = _("Type %(sum)s to confirm the refund")
CONFIRM_ID = _("Type %(sum)s to confirm the refund; its amount is not known, or hidden from you")
CONFIRM_ANY_AMOUNT = _("Type the amount to confirm the refund")
REFUNDS_ONLY = _("Only for choices that refund the customer.")
REFUNDS_ONLY_BY_ID = _("Only for choices that refund the customer. The amount is not known, or hidden: type %(sum)s.")
WRONG_AMOUNT = _("The refund is %(sum)s. Type this amount.")
WRONG_ID = _("Type %(sum)s.")


class OperationForm(forms.Form):
    """The reason and the previewed version; for a refund also its amount.

    The page collapses the fields in `technical`. `stored_field` is the field that the saga stores in its context; the
    page shows the errors of the context there.
    """

    technical: Sequence[str] = ()
    stored_field: str | None = None
    reason = Text(
        label=_("Reason"),
        max_length=MAX_LENGTH,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Kept in the history with your name and the time."),
    )
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, refund: Amount | HiddenAmount | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.refund = refund
        if refund:
            self.fields["amount"] = _amount_field(
                (CONFIRM_ID if isinstance(refund, HiddenAmount) else CONFIRM_AMOUNT) % {"sum": refund}
            )

    def clean_amount(self) -> str:
        """Accept only the amount of the refund, or the saga id if the amount is not known or hidden."""
        typed: str = self.cleaned_data["amount"]
        if self.refund and not self.refund.matches(typed):
            message = WRONG_ID if isinstance(self.refund, HiddenAmount) else WRONG_AMOUNT
            raise forms.ValidationError(message % {"sum": self.refund})
        return typed

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the operation besides the reason. Use only if the form is valid."""
        return {}


class ResolveForm(OperationForm):
    """What happened to a step, with evidence."""

    technical = ("output",)
    stored_field = "output"
    resolution = forms.ChoiceField(label=_("What happened?"), widget=forms.RadioSelect)
    evidence = Text(
        label=_("How do you know?"),
        max_length=MAX_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Something others can look up: the provider's number, a link, or who told you and when."),
    )
    output = JSONText(
        label=_("Output of the step"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    field_order = ("resolution", "evidence", "output", "reason")

    def __init__(
        self,
        *args: Any,
        choices: Sequence[tuple[str, Any]],
        refunds: Mapping[str, Amount | HiddenAmount],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.refunds = refunds
        if refunds:
            hidden = next((refund for refund in refunds.values() if isinstance(refund, HiddenAmount)), None)
            help_text = REFUNDS_ONLY_BY_ID % {"sum": hidden} if hidden else str(REFUNDS_ONLY)
            self.fields["amount"] = _amount_field(str(CONFIRM_ANY_AMOUNT), required=False, help_text=help_text)
        self.fields["resolution"].choices = choices  # type: ignore[attr-defined]
        sentence = gettext(
            "Only for a step that was done, and only if a later step needs it. JSON, such as %(example)s."
        )
        self.fields["output"].help_text = sentence % {"example": EXAMPLE}

    def clean_amount(self) -> str:
        """Accept only the amount of the refund that the chosen resolution makes."""
        self.refund = self.refunds.get(self.cleaned_data.get("resolution", ""))
        return super().clean_amount()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the resolution: step, outcome, output and evidence."""
        step, _, outcome = self.cleaned_data["resolution"].partition(":")
        given = self.cleaned_data["output"]
        output = None if given == "" else given
        return {"step": step, "outcome": outcome, "output": output, "evidence": self.cleaned_data["evidence"]}


class NoteForm(forms.Form):
    """The text of a note about an execution."""

    text = Text(
        label=_("Add a note for your colleagues"),
        max_length=MAX_LENGTH,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("The note is empty.")},
    )


class RevealForm(forms.Form):
    """The reason why the user wants to see personal data."""

    reason = Text(
        label=_("Why you need to see it (kept in the history)"),
        max_length=MAX_LENGTH,
        error_messages={"required": _("Give a reason for showing the personal data.")},
    )


def _amount_field(label: str, **options: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off"})
    return forms.CharField(label=label, max_length=MAX_LENGTH, widget=widget, **options)
