"""The schemas for the input of the sagas. Validation normalizes each value."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from integrations.invoices import parse_tax_id
from integrations.whatsapp import parse_phone

CURRENCIES = ["BRL", "EUR", "USD"]
ONE_WORD = RegexValidator(r"\A\S+\Z", gettext_lazy("Use no spaces."))
ONE_LINE = RegexValidator(r"\A[^\r\n]*\Z", gettext_lazy("Use one line."))


class Moment(serializers.DateTimeField):
    """A field for a time. It rejects the years 1 and 9999, which do not fit into every time zone."""

    default_error_messages = {"overflow": gettext_lazy("This date is out of range.")}

    def to_internal_value(self, value: Any) -> datetime:
        """Parse the time and return it in the current time zone."""
        try:
            moment: datetime = super().to_internal_value(value)
        except OverflowError:
            self.fail("overflow")
        if not 1 < moment.year < 9999:
            self.fail("overflow")
        return moment


class SaleInput(serializers.Serializer):
    """The fields that both sagas have."""

    sale_id = serializers.CharField(max_length=64, validators=[ONE_WORD])
    customer_name = serializers.CharField(max_length=200, validators=[ONE_LINE])
    customer_email = serializers.EmailField(max_length=254)
    description = serializers.CharField(max_length=500, validators=[ONE_LINE])
    amount = serializers.DecimalField(max_digits=12, decimal_places=2, min_value=Decimal("0.01"))


class CreateBookingInput(SaleInput):
    """The input of create_booking."""

    customer_phone = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=30)
    customer_document = serializers.CharField(max_length=20)
    starts_at = Moment()
    ends_at = Moment()

    def validate_customer_phone(self, number: str | None) -> str:
        """Return the number in E.164, or "" if there is none."""
        return _parsed(parse_phone, number) if number else ""

    def validate_customer_document(self, document: str) -> str:
        """Return the CPF or CNPJ without punctuation."""
        return _parsed(parse_tax_id, document)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check that the booking ends after it starts."""
        if attrs["ends_at"] <= attrs["starts_at"]:
            raise serializers.ValidationError({"ends_at": _("The end must be after the start.")})
        return attrs


class CollectPaymentInput(SaleInput):
    """The input of collect_payment."""

    currency = serializers.ChoiceField(choices=CURRENCIES, default="BRL")
    payment_method = serializers.CharField(max_length=64, validators=[ONE_WORD])


def _parsed(parse: Any, text: str) -> str:
    try:
        return str(parse(text))
    except ValueError as error:
        raise serializers.ValidationError(str(error)) from error
