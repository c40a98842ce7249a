"""The forms of the booking page. The schemas of the sagas validate the values."""

from typing import Any

from django import forms
from django.core import signing
from django.utils.formats import get_format
from django.utils.translation import gettext_lazy as _

from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas import InvalidInput, SagaConflict

SALES = signing.Signer(salt="sagaproject.bookings.sale")
TEST_CARDS = {
    "pm_card_visa": _("Visa (accepted)"),
    "pm_card_mastercard": _("Mastercard (accepted)"),
    "pm_card_chargeDeclined": _("A declined card"),
    "pm_card_chargeDeclinedInsufficientFunds": _("A card with insufficient funds"),
    "pm_card_chargeDeclinedExpiredCard": _("An expired card"),
}


def answer(kind: str, label: Any, help_text: Any = "", **attrs: Any) -> forms.CharField:
    """Return a field with an HTML input of type `kind`. The saga's schema decides whether the field is required."""
    widget = forms.TextInput({"required": True, **attrs})
    widget.input_type = kind
    return forms.CharField(label=label, help_text=help_text, required=False, widget=widget)


class BookingForm(forms.Form):
    """The input of create_booking, except the sale id."""

    description = answer("text", _("What would you like to book?"), maxlength=500, autocomplete="off")
    starts_at = answer("datetime-local", _("From"), _("São Paulo time."), autocomplete="off")
    ends_at = answer("datetime-local", _("Until"), autocomplete="off")
    amount = answer("text", _("Price in reais"), inputmode="decimal", autocomplete="off")
    customer_name = answer("text", _("Name"), maxlength=200, autocomplete="name")
    customer_email = answer(
        "email", _("E-mail"), _("For your confirmation and your receipt."), maxlength=254, autocomplete="email"
    )
    customer_phone = answer(
        "tel",
        _("Mobile phone (optional)"),
        _("For a confirmation by WhatsApp."),
        maxlength=30,
        autocomplete="tel",
        required=False,
    )
    customer_document = answer("text", _("CPF or CNPJ"), _("For your invoice."), maxlength=20, autocomplete="off")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self.sale_id = SALES.unsign(self.data.get("sale", ""))
        except signing.BadSignature:
            self.sale_id = services.new_sale_id()

    @property
    def signed_sale_id(self) -> str:
        """The signed sale id in the page. It makes sure that a form sent twice books once."""
        return SALES.sign(self.sale_id)

    def book(self) -> Booking | None:
        """Make the booking and return it. If values are invalid, add an error to each field and return None."""
        if not self.is_valid():
            return None
        given = {key: text for key, text in self.cleaned_data.items() if text}
        if "amount" in given:
            given["amount"] = plain_number(given["amount"])
        try:
            return services.book({"sale_id": self.sale_id, **given})
        except InvalidInput as refusal:
            for key, sentence in refusal.errors.items():
                self.add_error(key if key in self.fields else None, sentence)
        except SagaConflict:
            self.sale_id = services.new_sale_id()
            self.add_error(
                None, _("You have already sent this form with other answers. Send it again to make a second booking.")
            )
        return None


class PaymentForm(forms.Form):
    """The choice of the card to charge."""

    payment_method = forms.ChoiceField(
        label=_("Test card"),
        choices=list(TEST_CARDS.items()),
        initial="pm_card_visa",
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose a card."), "invalid_choice": _("Choose one of these cards.")},
    )


class CancelForm(forms.Form):
    """The reason of a cancellation."""

    reason = forms.CharField(
        label=_("Why? (optional)"), required=False, max_length=500, widget=forms.Textarea({"rows": 3})
    )


def plain_number(text: str) -> str:
    """Convert a number from the format of the active language to the format of the schema."""
    decimal, thousands = get_format("DECIMAL_SEPARATOR"), get_format("THOUSAND_SEPARATOR")
    return text.replace(thousands, "").replace(decimal, ".") if decimal in text else text
