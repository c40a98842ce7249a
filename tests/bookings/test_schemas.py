"""The input schemas of the sagas normalise valid input and refuse invalid input by field."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from sagaproject.bookings.sagas.schemas import CollectPaymentInput, CreateBookingInput
from tests.support.bookings import BOOKING, PAYMENT


def validated(schema, data):
    form = schema(data=data)
    assert form.is_valid(), form.errors
    return form.validated_data


def errors(schema, data):
    form = schema(data=data)
    assert not form.is_valid()
    return {field: [str(message) for message in messages] for field, messages in form.errors.items()}


def test_a_booking_comes_out_in_one_form():
    given = {"customer_document": "529.982.247-25", "customer_phone": "(11) 98765-4321", "amount": "420"}

    data = validated(CreateBookingInput, BOOKING | given)

    assert data["customer_document"] == "52998224725"
    assert data["customer_phone"] == "+5511987654321"
    assert str(data["amount"]) == "420.00"
    assert data["starts_at"] == datetime(2026, 12, 1, 13, tzinfo=UTC)


def test_a_business_with_letters_in_its_number_may_book():
    data = validated(CreateBookingInput, BOOKING | {"customer_document": "12.ABC.345/01DE-35"})

    assert data["customer_document"] == "12ABC34501DE35"


@pytest.mark.parametrize("phone", ["", None])
def test_the_telephone_number_may_be_empty(phone):
    assert not validated(CreateBookingInput, BOOKING | {"customer_phone": phone})["customer_phone"]


def test_the_telephone_number_may_be_left_out():
    data = {key: value for key, value in BOOKING.items() if key != "customer_phone"}

    assert "customer_phone" not in validated(CreateBookingInput, data)


def test_a_payment_is_in_reais_unless_it_says_otherwise():
    data = {key: value for key, value in PAYMENT.items() if key != "currency"}

    assert validated(CollectPaymentInput, data)["currency"] == "BRL"
    assert validated(CollectPaymentInput, data | {"currency": "EUR"})["currency"] == "EUR"
    assert validated(CollectPaymentInput, data)["amount"] == Decimal("420.00")


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"sale_id": ""}, "sale_id", "This field may not be blank."),
        ({"sale_id": "SALE 001"}, "sale_id", "Use no spaces."),
        ({"sale_id": "SALE\n001"}, "sale_id", "Use no spaces."),
        ({"customer_name": "Ana\nBcc: x"}, "customer_name", "Use one line."),
        ({"description": "a\r\nb"}, "description", "Use one line."),
        ({"customer_email": "ana"}, "customer_email", "Enter a valid email address."),
        ({"customer_phone": "call me"}, "customer_phone", "Enter a valid telephone number."),
        ({"customer_document": "52998224724"}, "customer_document", "Enter a valid CPF or CNPJ."),
        ({"amount": "0.00"}, "amount", "Ensure this value is greater than or equal to 0.01."),
        ({"amount": "-1"}, "amount", "Ensure this value is greater than or equal to 0.01."),
        ({"amount": "1.001"}, "amount", "Ensure that there are no more than 2 decimal places."),
        ({"amount": "NaN"}, "amount", "A valid number is required."),
        ({"ends_at": BOOKING["starts_at"]}, "ends_at", "The end must be after the start."),
        ({"starts_at": None}, "starts_at", "This field may not be null."),
        ({"starts_at": "0001-01-01T10:00:00Z"}, "starts_at", "This date is out of range."),
        ({"ends_at": "9999-12-31T22:00:00-03:00"}, "ends_at", "This date is out of range."),
    ],
)
def test_a_booking_that_cannot_be_is_refused_by_field(changes, field, message):
    assert errors(CreateBookingInput, BOOKING | changes) == {field: [message]}


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"currency": "XXX"}, "currency", '"XXX" is not a valid choice.'),
        ({"payment_method": ""}, "payment_method", "This field may not be blank."),
        ({"amount": "0"}, "amount", "Ensure this value is greater than or equal to 0.01."),
    ],
)
def test_a_payment_that_cannot_be_is_refused_by_field(changes, field, message):
    assert errors(CollectPaymentInput, PAYMENT | changes) == {field: [message]}


@pytest.mark.parametrize("schema", [CreateBookingInput, CollectPaymentInput])
def test_everything_that_is_missing_is_named_at_once(schema):
    optional = {"customer_phone", "currency"}

    assert set(errors(schema, {})) == set(schema().fields) - optional
