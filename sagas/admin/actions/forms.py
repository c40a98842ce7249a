"""What is asked of whoever acts or writes: why, at which version and, for a refund, the amount once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.operations.money import Amount, HiddenAmount

from .fields import JSONText, Text

LONGEST = 2000
EXAMPLE = '{"payment_id": "pi_1"}'
ASKS_FOR_SUM = _("Type %(sum)s to confirm that it goes back to the customer")
ASKS_FOR_ID = _("Type %(sum)s to confirm that money of this case goes back to the customer; you are not told how much")
ASKS_FOR_ANY_SUM = _("Type the amount to confirm that it goes back to the customer")
ONLY_FOR_SUM = _("Only for what gives money back.")
ONLY_FOR_ID = _("Only for what gives money back; as you are not told how much, type %(sum)s.")
NOT_THE_SUM = _("This is not the amount that goes back: %(sum)s.")
NOT_THE_ID = _("This is not %(sum)s.")


class ActForm(forms.Form):
    """A reason, bound to the version that the preview was made of; `technical` fields are folded away.

    `stored_field` names the field that goes into the saga's context, which may refuse it.
    """

    technical: Sequence[str] = ()
    stored_field: str | None = None
    reason = Text(
        label=_("Reason"),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Why you do this. It is kept with your name and the time."),
    )
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, refund: Amount | HiddenAmount | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.refund = refund
        if refund:
            self.fields["amount"] = _amount_field(
                (ASKS_FOR_ID if isinstance(refund, HiddenAmount) else ASKS_FOR_SUM) % {"sum": refund}
            )

    def clean_amount(self) -> str:
        """The amount that goes back, and no other; where it is not known, what it is of."""
        typed: str = self.cleaned_data["amount"]
        if self.refund and not self.refund.matches(typed):
            told = NOT_THE_ID if isinstance(self.refund, HiddenAmount) else NOT_THE_SUM
            raise forms.ValidationError(told % {"sum": self.refund})
        return typed

    @property
    def parameters(self) -> dict[str, Any]:
        """What the act needs besides the reason, once the form is valid."""
        return {}


class ResolveForm(ActForm):
    """A person's word on a step, with the evidence."""

    technical = ("output",)
    stored_field = "output"
    word = forms.ChoiceField(label=_("What has become of it?"), widget=forms.RadioSelect)
    evidence = Text(
        label=_("How do you know?"),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("What others can look up: the provider's number, a link, who told you and when."),
    )
    output = JSONText(
        label=_("What the step would have reported"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    field_order = ("word", "evidence", "output", "reason")

    def __init__(
        self,
        *args: Any,
        words: Sequence[tuple[str, Any]],
        refunds: Mapping[str, Amount | HiddenAmount],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.refunds = refunds
        if refunds:
            unknown = next((refund for refund in refunds.values() if isinstance(refund, HiddenAmount)), None)
            help_text = ONLY_FOR_ID % {"sum": unknown} if unknown else str(ONLY_FOR_SUM)
            self.fields["amount"] = _amount_field(str(ASKS_FOR_ANY_SUM), required=False, help_text=help_text)
        self.fields["word"].choices = words  # type: ignore[attr-defined]
        self.fields["reason"].label = gettext("What happened?")
        sentence = gettext("Only for what was done, and only if a later step needs it: JSON such as %(example)s.")
        self.fields["output"].help_text = sentence % {"example": EXAMPLE}

    def clean_amount(self) -> str:
        """The amount that goes back for this word."""
        self.refund = self.refunds.get(self.cleaned_data.get("word", ""))
        return super().clean_amount()

    @property
    def parameters(self) -> dict[str, Any]:
        """The word, taken apart."""
        step, _, outcome = self.cleaned_data["word"].partition(":")
        given = self.cleaned_data["output"]
        output = None if given == "" else given
        return {"step": step, "outcome": outcome, "output": output, "evidence": self.cleaned_data["evidence"]}


class NoteForm(forms.Form):
    """What somebody writes about a case."""

    text = Text(
        label=_("Add a note for whoever looks at this next"),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("The note is empty.")},
    )


class RevealForm(forms.Form):
    """Why somebody needs to see the personal values of a case."""

    reason = Text(
        label=_("Why you need to see it (this is kept with the case)"),
        max_length=LONGEST,
        error_messages={"required": _("Say why you need to see the personal data; the reason is kept.")},
    )


def _amount_field(label: str, **options: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off"})
    return forms.CharField(label=label, max_length=LONGEST, widget=widget, **options)
