"""The statuses of a booking change when the state of its saga changes."""

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from sagaproject.bookings.models import Booking
from sagaproject.bookings.status import BOOKING_STATUS, PAYMENT_STATUS, update_booking, update_payment
from sagas import SagaState
from sagas.orchestrator import get_saga_orchestrator
from tests.support.bookings import BOOKING, PAYMENT

pytestmark = pytest.mark.django_db


def booking_saga(saga_id="b1", failed_step="add_calendar", **changes):
    return SimpleNamespace(saga_id=saga_id, owner_id=None, failed_step=failed_step, input=BOOKING | changes)


def payment_saga(saga_id="p1"):
    return get_saga_orchestrator().start(saga_id, "collect_payment", context=PAYMENT)


def follow(new: SagaState, execution=None, old=SagaState.IN_PROGRESS) -> Booking:
    update_booking(execution or booking_saga(), old, new)
    return Booking.objects.get()


def pay(new: SagaState, execution=None, old=SagaState.IN_PROGRESS) -> Booking:
    update_payment(execution or payment_saga(), old, new)
    return Booking.objects.get()


def test_every_state_of_a_saga_means_something_for_a_booking():
    assert set(BOOKING_STATUS) == set(PAYMENT_STATUS) == set(SagaState)


def test_a_booking_that_nobody_made_is_made_from_the_input():
    booking = follow(SagaState.SUCCEEDED)

    assert (booking.sale_id, booking.status, booking.payment_status) == ("SALE-001", "confirmed", "pending")
    assert booking.booking_saga_id == "b1"
    assert booking.amount == Decimal("420.00")
    assert booking.starts_at == datetime(2026, 12, 1, 13, tzinfo=UTC)
    assert booking.customer_phone == "+5511987654321"


@pytest.mark.parametrize("phone", ["", None])
def test_a_customer_without_a_telephone_number_may_book(phone):
    assert follow(SagaState.SUCCEEDED, booking_saga(customer_phone=phone)).customer_phone == ""


def test_a_booking_that_the_front_end_made_is_used():
    Booking.objects.create(sale_id="SALE-001", customer_name="?", customer_email="?", amount=1)

    booking = follow(SagaState.SUCCEEDED)

    assert (booking.status, booking.customer_name, booking.amount) == (
        "confirmed",
        "Ana Souza",
        Decimal("420.00"),
    )


@pytest.mark.parametrize(
    ("new", "status"),
    [
        (SagaState.PENDING, "pending"),
        (SagaState.SUCCEEDED, "confirmed"),
        (SagaState.FAILED, "not_booked"),
        (SagaState.PARTIALLY_COMPENSATED, "checking"),
        (SagaState.COMPENSATING, "checking"),
    ],
)
def test_a_booking_is_told_twice_as_well_as_once(new, status):
    assert follow(new).status == status
    assert follow(new).status == status


def test_a_booking_follows_its_saga_to_failure_and_back():
    assert follow(SagaState.FAILED).status == "not_booked"
    assert follow(SagaState.PENDING, old=SagaState.FAILED).status == "pending"
    assert follow(SagaState.SUCCEEDED).status == "confirmed"
    assert follow(SagaState.COMPENSATING, old=SagaState.SUCCEEDED).status == "checking"
    assert follow(SagaState.FAILED, old=SagaState.COMPENSATING).status == "not_booked"


def test_a_second_attempt_takes_over_a_booking_that_failed():
    follow(SagaState.FAILED)

    booking = follow(SagaState.SUCCEEDED, booking_saga("b2"))

    assert (booking.status, booking.booking_saga_id) == ("confirmed", "b2")


def test_a_second_attempt_does_not_take_back_a_confirmed_booking():
    follow(SagaState.SUCCEEDED)

    booking = follow(SagaState.FAILED, booking_saga("b2"))

    assert (booking.status, booking.booking_saga_id) == ("confirmed", "b1")


@pytest.mark.parametrize(
    ("new", "status"),
    [
        (SagaState.PENDING, "pending"),
        (SagaState.SUCCEEDED, "paid"),
        (SagaState.FAILED, "cancelled"),
        (SagaState.PARTIALLY_COMPENSATED, "checking"),
        (SagaState.COMPENSATING, "checking"),
    ],
)
def test_a_payment_changes_the_payment_status_alone(new, status):
    follow(SagaState.SUCCEEDED)

    booking = pay(new)

    assert (booking.status, booking.payment_status) == ("confirmed", status)
    assert (booking.booking_saga_id, booking.payment_saga_id) == ("b1", "p1")


def test_a_payment_of_an_unknown_sale_makes_a_booking_with_what_it_knows():
    booking = pay(SagaState.SUCCEEDED)

    assert (booking.status, booking.payment_status) == ("pending", "paid")
    assert (booking.customer_name, booking.starts_at) == ("Ana Souza", None)
    assert follow(SagaState.SUCCEEDED).starts_at is not None
    assert Booking.objects.get().payment_status == "paid"


def test_a_second_charge_that_fails_does_not_take_back_a_payment():
    pay(SagaState.SUCCEEDED)

    booking = pay(SagaState.FAILED, payment_saga("p2"))

    assert (booking.payment_status, booking.payment_saga_id) == ("paid", "p1")


def test_a_booking_that_was_undone_on_request_is_cancelled():
    assert follow(SagaState.SUCCEEDED).status == "confirmed"
    assert follow(SagaState.COMPENSATING, booking_saga(failed_step="")).status == "checking"
    assert follow(SagaState.FAILED, booking_saga(failed_step="")).status == "cancelled"
