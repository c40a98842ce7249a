"""Kill the process at each commit and at each provider call: both sagas recover."""

from functools import partial

import pytest

from integrations.models import SandboxFault
from sagaproject.bookings.models import Booking
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.testing import CrashTest, assert_survives_crashes
from tests.support.bookings import SandboxProviders, booking_input, payment_input

pytestmark = pytest.mark.django_db(transaction=True)

TO_REFUSE = {"customer_email": "refuse@example.com"}
TO_DECLINE = {"payment_method": "pm_card_chargeDeclined"}


@pytest.fixture
def calendar_refuses(transactional_db):
    SandboxFault.objects.create(port="calendar", operation="add", mode="refuse", remaining=1_000_000)


def states_of(trials):
    return {trial.state for trial in trials}


def statuses_of_bookings():
    """Return the statuses that customers see: the booking's and the payment's."""
    return set(Booking.objects.values_list("status", "payment_status"))


def test_a_booking_succeeds_wherever_its_process_dies():
    trials = assert_survives_crashes(CREATE_BOOKING_SAGA, booking_input, SandboxProviders())

    assert len(trials) >= 18
    assert states_of(trials) == {SagaState.SUCCEEDED}
    assert statuses_of_bookings() == {("confirmed", "pending")}


@pytest.mark.prove
def test_a_payment_succeeds_wherever_its_process_dies():
    trials = assert_survives_crashes(COLLECT_PAYMENT_SAGA, payment_input, SandboxProviders())

    assert len(trials) >= 20
    assert states_of(trials) == {SagaState.SUCCEEDED}
    assert statuses_of_bookings() == {("pending", "paid")}


@pytest.mark.prove
def test_a_booking_that_fails_last_is_compensated_at_every_crash_point(calendar_refuses):
    trials = assert_survives_crashes(CREATE_BOOKING_SAGA, booking_input, SandboxProviders())

    assert len(trials) >= 28
    assert states_of(trials) == {SagaState.FAILED}
    assert statuses_of_bookings() == {("not_booked", "pending")}


@pytest.mark.prove
def test_a_payment_with_a_refused_receipt_survives_every_crash_point():
    refused = partial(payment_input, **TO_REFUSE)

    trials = assert_survives_crashes(COLLECT_PAYMENT_SAGA, refused, SandboxProviders())

    assert len(trials) >= 19
    assert states_of(trials) == {SagaState.FAILED}
    assert statuses_of_bookings() == {("pending", "payment_failed")}


@pytest.mark.prove
def test_a_declined_card_is_charged_nothing_wherever_the_process_dies():
    declined = partial(payment_input, **TO_DECLINE)

    trials = assert_survives_crashes(COLLECT_PAYMENT_SAGA, declined, SandboxProviders())

    assert states_of(trials) == {SagaState.FAILED}
    assert statuses_of_bookings() == {("pending", "payment_failed")}


@pytest.mark.prove
def test_a_recovery_may_die_as_well():
    points = CrashTest(COLLECT_PAYMENT_SAGA, partial(payment_input, **TO_REFUSE), SandboxProviders())
    deaths = range(4, len(points.crash_points()) + 1, 7)

    trials = list(points.pairs(deaths, every=3))

    assert [str(trial) for trial in trials if trial.violations] == []
    assert len(trials) > len(deaths)
