"""`services.pay`, the function that the booking page and the API call, charges each sale at most once."""

import pytest

from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas import InvalidInput, SagaState
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import drain
from tests.bookings.sales import DECLINED, at_once, cancel, charges, pay, refusal_of, statuses
from tests.support.bookings import BOOKING, PAYMENT

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db


def payment_of(booking):
    return services._payment_input(booking, "pm_card_visa")


def test_a_confirmed_booking_is_paid(booked, saga_clock):
    pay()
    assert statuses() == ("confirmed", "pending")
    drain(saga_clock)

    assert statuses() == ("confirmed", "paid")
    assert Booking.objects.get().payment_saga_id == "payment-SALE-001-1"


def test_a_booking_that_is_not_confirmed_is_not_paid():
    services.book(BOOKING)

    assert refusal_of(pay) == "Only a confirmed booking can be paid."


def test_nobody_pays_while_a_payment_is_in_progress_or_twice(booked, saga_clock):
    pay()
    assert refusal_of(pay) == "A payment of this booking is in progress."

    drain(saga_clock)
    assert refusal_of(pay) == "This booking is already paid."
    assert SagaExecution.objects.of_sagas(["collect_payment"]).count() == 1


def test_a_paid_booking_is_not_paid_again_after_its_saga_was_deleted(booked):
    Booking.objects.update(payment_status="paid", payment_saga_id="payment-SALE-001-1")

    assert refusal_of(pay) == "This booking is already paid."


def test_a_payment_that_somebody_else_has_started_counts(booked):
    payment = payment_of(booked)
    get_saga_orchestrator().start("by-hand", "collect_payment", context=payment)

    assert refusal_of(pay) == "A payment of this booking is in progress."


def test_a_sale_whose_id_differs_in_case_only_is_another_sale(booked, saga_clock):
    payment = payment_of(booked) | {"sale_id": "sale-001"}
    get_saga_orchestrator().start("by-hand", "collect_payment", context=payment)

    pay()


def test_after_a_declined_card_another_one_is_tried(booked, saga_clock):
    pay(DECLINED)
    drain(saga_clock)
    assert statuses() == ("confirmed", "payment_failed")

    pay()
    assert statuses() == ("confirmed", "pending")
    drain(saga_clock)
    assert statuses() == ("confirmed", "paid")
    assert Booking.objects.get().payment_saga_id == "payment-SALE-001-2"


def test_an_old_payment_that_is_tried_again_takes_no_money_twice(booked, saga_clock, plant):
    plant("payments", "create", "refuse")
    pay()
    drain(saga_clock)
    pay()
    drain(saga_clock)

    get_saga_orchestrator().retry_failed("payment-SALE-001-1")

    attempt = SagaExecution.objects.get(saga_id="payment-SALE-001-1").step_executions.get()
    assert attempt.error_message == ("SALE-001 is not charged: another payment has charged it, or may have")
    assert statuses() == ("confirmed", "paid")
    assert charges() == 1


def test_a_retried_old_payment_does_not_charge_beside_a_running_one(booked, saga_clock, plant):
    plant("payments", "create", "refuse")
    pay()
    drain(saga_clock)
    plant("email", "send", "throttle", latency_ms=10_000)
    pay()
    get_saga_orchestrator().resume("payment-SALE-001-2", max_seconds=1)
    assert charges() == 1

    get_saga_orchestrator().retry_failed("payment-SALE-001-1")
    drain(saga_clock)

    assert charges() == 1
    assert statuses() == ("confirmed", "paid")
    assert Booking.objects.get().payment_saga_id == "payment-SALE-001-2"


def test_two_payments_of_a_sale_that_nobody_has_booked_take_money_once(db):
    first, second = (get_saga_orchestrator().execute(name, "collect_payment", context=PAYMENT) for name in "ab")

    assert (first.state, second.state) == (SagaState.SUCCEEDED, SagaState.FAILED)
    assert second.step_executions.get().error_message == (
        "SALE-001 is not charged: another payment has charged it, or may have"
    )
    assert charges() == 1
    assert statuses() == ("pending", "paid")
    assert Booking.objects.get().payment_saga_id == "a"


def test_a_sale_without_a_booking_can_be_paid_after_a_failed_payment(db):
    declined = get_saga_orchestrator().execute("a", "collect_payment", context=PAYMENT | {"payment_method": DECLINED})
    paid = get_saga_orchestrator().execute("b", "collect_payment", context=PAYMENT)

    assert (declined.state, paid.state) == (SagaState.FAILED, SagaState.SUCCEEDED)
    assert charges() == 1
    assert Booking.objects.get().payment_saga_id == "b"


@pytest.mark.django_db(transaction=True)
def test_of_many_payments_of_a_sale_that_nobody_has_booked_one_takes_money():
    names = iter("abcd")
    at_once(lambda: get_saga_orchestrator().execute(next(names), "collect_payment", context=PAYMENT), times=4)

    states = sorted(SagaExecution.objects.values_list("state", flat=True))
    assert states == [*[SagaState.FAILED] * 3, SagaState.SUCCEEDED]
    assert charges() == 1
    assert statuses() == ("pending", "paid")


@pytest.mark.parametrize("undone", [True, False], ids=["cancelled", "being cancelled"])
def test_a_retried_old_payment_does_not_charge_for_a_cancelled_booking(booked, saga_clock, undone):
    pay(DECLINED)
    drain(saga_clock)
    cancel()
    if undone:
        drain(saga_clock)

    get_saga_orchestrator().correct_input("payment-SALE-001-1", payment_of(booked), reason="Another card")
    get_saga_orchestrator().retry_failed("payment-SALE-001-1")
    drain(saga_clock)

    attempt = SagaExecution.objects.get(saga_id="payment-SALE-001-1").step_executions.get()
    assert attempt.error_message == "SALE-001 is not charged: its booking failed or was cancelled"
    assert statuses() == ("cancelled", "payment_failed")


def test_a_payments_id_that_another_saga_has_keeps_nobody_from_paying(booked, saga_clock):
    other = payment_of(booked) | {"sale_id": "SALE-002"}
    get_saga_orchestrator().start("payment-SALE-001-1", "collect_payment", context=other)

    pay()

    assert Booking.objects.get().payment_saga_id == "payment-SALE-001-2"


def test_while_an_earlier_payment_is_in_doubt_nobody_pays_again(booked, saga_clock, plant):
    plant("payments", "refund", "refuse")
    plant("email", "send", "refuse")
    pay()
    drain(saga_clock)

    assert statuses() == ("confirmed", "checking")
    assert refusal_of(pay) == "We are checking an earlier payment of this booking. Please do not pay again."


def test_what_is_no_payment_method_is_refused(booked):
    with pytest.raises(InvalidInput) as caught:
        pay("no card")

    assert caught.value.errors == {"payment_method": "Use no spaces."}
    assert Booking.objects.get().payment_saga_id == ""


@pytest.mark.django_db(transaction=True)
def test_of_many_who_pay_at_once_one_starts_a_payment(booked):
    told = at_once(pay, times=4)

    assert sorted(told) == ["", *["A payment of this booking is in progress."] * 3]
    assert SagaExecution.objects.of_sagas(["collect_payment"]).count() == 1
