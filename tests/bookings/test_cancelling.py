"""`services.cancel`, the function that the booking page and the API call to cancel and refund."""

import pytest

from integrations.models import SandboxEffect
from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas.models import SagaEvent, SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import drain
from tests.bookings.sales import PAID, at_once, cancel, charges, pay, refusal_of, resolve, statuses
from tests.support.bookings import BOOKING, PAYMENT

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

BEYOND_US = "This booking can no longer be cancelled here. Please write to us: we will cancel it and refund you."


def test_a_paid_booking_is_cancelled_and_the_money_given_back(booked, saga_clock):
    pay()
    drain(saga_clock)

    cancel()
    assert statuses() == ("checking", "checking")
    drain(saga_clock)

    assert statuses() == ("cancelled", "refunded")
    assert SandboxEffect.objects.get(port="payments", operation="charge").state == "refunded"
    assert SandboxEffect.objects.get(port="invoices", operation="issue").state == "canceled"
    events = SagaEvent.objects.order_by("pk").values_list(
        "execution__saga_id", "kind", "reason", "actor_name", "source"
    )
    assert list(events) == [
        ("payment-SALE-001-1", "compensate", "I am ill", "customer", "page"),
        ("booking-SALE-001", "compensate", "I am ill", "customer", "page"),
    ]


@pytest.mark.parametrize(("word", "status"), [("done", "paid"), ("undone", "refunded"), ("not_done", "cancelled")])
def test_of_a_refund_that_failed_for_good_the_persons_word_counts(booked, saga_clock, plant, word, status):
    pay()
    drain(saga_clock)
    plant("payments", "refund", "refuse")
    cancel()
    drain(saga_clock)
    assert statuses() == ("cancelled", "checking")

    resolve(word)

    assert statuses() == ("cancelled", status)


@pytest.mark.parametrize(
    ("word", "status"), [("done", "paid"), ("undone", "payment_failed"), ("not_done", "payment_failed")]
)
def test_so_it_does_of_a_payment_that_failed(booked, saga_clock, plant, word, status):
    plant("payments", "refund", "refuse")
    plant("email", "send", "refuse")
    pay()
    drain(saga_clock)

    resolve(word)

    assert statuses() == ("confirmed", status)


def test_a_charge_kept_by_an_operator_is_neither_repeated_nor_forgotten(booked, saga_clock, plant):
    plant("payments", "refund", "refuse")
    plant("email", "send", "refuse")
    pay()
    drain(saga_clock)
    resolve("done")
    assert refusal_of(pay) == "This booking is already paid."
    assert refusal_of(cancel) == BEYOND_US

    again = get_saga_orchestrator().retry_failed(PAID)

    assert again.step_executions.get().error_message == (
        "SALE-001 is not charged: an earlier run has charged it, and that was not refunded"
    )
    assert charges() == 1
    assert statuses() == ("confirmed", "paid")


def test_a_payment_that_was_undone_before_anything_was_charged_says_so(booked, saga_clock, plant):
    plant("payments", "create", "throttle", latency_ms=10_000)
    pay()
    cancel()
    drain(saga_clock)

    assert statuses() == ("cancelled", "cancelled")


@pytest.mark.parametrize("sagas", [["booking-SALE-001"], ["payment-SALE-001-1"]], ids=["booking", "payment"])
def test_what_is_too_old_to_be_undone_here_is_not_cancelled_by_half(booked, saga_clock, sagas):
    pay()
    drain(saga_clock)
    SagaExecution.objects.filter(saga_id__in=sagas).delete()

    assert refusal_of(cancel) == BEYOND_US
    assert statuses() == ("confirmed", "paid")
    assert charges() == 1


def test_cancelling_again_changes_nothing_after_the_saga_was_deleted(booked, saga_clock):
    cancel()
    drain(saga_clock)
    SagaExecution.objects.all().delete()

    assert cancel().status == "cancelled"


def test_what_was_not_booked_long_ago_is_not_cancelled(saga_clock, plant):
    plant("calendar", "add", "refuse")
    services.book(BOOKING)
    drain(saga_clock)
    SagaExecution.objects.all().delete()

    assert refusal_of(cancel) == "Nothing was booked, so there is nothing to cancel."


def test_what_still_runs_is_stopped(saga_clock):
    services.book(BOOKING)

    assert cancel().status == "cancelled"
    assert drain(saga_clock) == 0


def test_a_payment_that_still_runs_is_stopped_with_its_booking(booked, saga_clock):
    pay()
    cancel()
    drain(saga_clock)

    assert statuses() == ("cancelled", "cancelled")
    assert not SandboxEffect.objects.filter(port="payments").exists()


def test_the_letter_of_a_cancellation_is_true_of_one_that_was_asked_for(booked, saga_clock):
    cancel()
    drain(saga_clock)

    letter = SandboxEffect.objects.filter(port="email").latest("pk").request["body"]
    assert letter == "Dear Ana Souza,\n\nyour booking of City tour is cancelled.\n\nStart: Dec. 1, 2026, 10 a.m.\n"


def test_to_cancel_once_more_changes_nothing(booked, saga_clock):
    cancel()
    cancel()
    drain(saga_clock)
    cancel()

    assert statuses() == ("cancelled", "pending")
    assert SagaEvent.objects.count() == 1


def test_a_cancelled_booking_is_not_paid(booked, saga_clock):
    cancel()
    assert refusal_of(pay) == "Only a confirmed booking can be paid."
    drain(saga_clock)
    assert refusal_of(pay) == "Only a confirmed booking can be paid."


def test_what_was_not_booked_is_not_cancelled(saga_clock, plant):
    plant("calendar", "add", "refuse")
    services.book(BOOKING)
    drain(saga_clock)

    assert refusal_of(cancel) == "Nothing was booked, so there is nothing to cancel."


@pytest.mark.parametrize("refused", [True, False], ids=["not booked any more", "cancelled"])
def test_what_was_paid_is_given_back_also_where_the_booking_is_gone(booked, saga_clock, plant, refused):
    pay()
    drain(saga_clock)
    get_saga_orchestrator().compensate("booking-SALE-001")
    if refused:
        plant("calendar", "add", "refuse")
        get_saga_orchestrator().retry_failed("booking-SALE-001")

    cancel()
    drain(saga_clock)

    assert statuses() == ("not_booked" if refused else "cancelled", "refunded")


def test_a_payment_without_a_booking_is_given_back(saga_clock):
    get_saga_orchestrator().start("by-hand", "collect_payment", context=PAYMENT)
    drain(saga_clock)

    cancel()
    drain(saga_clock)

    assert statuses() == ("pending", "refunded")


def test_what_a_payment_alone_has_made_is_not_cancelled():
    Booking.objects.create(sale_id="SALE-001", customer_name="?", customer_email="?", amount=1)

    assert refusal_of(cancel) == "Nothing was booked, so there is nothing to cancel."


def test_what_a_person_looks_into_is_not_cancelled(saga_clock, plant):
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")
    services.book(BOOKING)
    drain(saga_clock)

    assert refusal_of(cancel) == "We are already checking this booking and will write to you."


def test_a_sale_that_is_not_there_is_neither_paid_nor_cancelled():
    for operation in (pay, cancel):
        with pytest.raises(Booking.DoesNotExist):
            operation()


@pytest.mark.django_db(transaction=True)
def test_concurrent_pay_and_cancel_never_leave_a_cancelled_booking_paid(booked, saga_clock):
    at_once(pay, cancel)
    drain(saga_clock)

    assert statuses() in [("cancelled", "cancelled"), ("cancelled", "pending")]
    assert charges() == 0
