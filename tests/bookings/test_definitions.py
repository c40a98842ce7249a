"""The two sagas have the agreed steps, priorities and names."""

import pytest

from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import Priority
from sagas.definition.registry import get_saga


@pytest.mark.parametrize(
    ("saga", "steps"),
    [
        (
            CREATE_BOOKING_SAGA,
            [
                ("create_nf", True, 10, 3),
                ("send_email", True, 5, 2),
                ("send_whatsapp", True, 5, 2),
                ("add_calendar", True, 5, 1),
            ],
        ),
        (
            COLLECT_PAYMENT_SAGA,
            [
                ("process_payment", True, 15, 3),
                ("create_invoice", True, 5, 2),
                ("send_receipt", False, 5, 2),
                ("log_analytics", False, 2, 1),
            ],
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_steps_are_as_agreed(saga, steps):
    found = [(step.name, step.compensation is not None, step.timeout, step.retry_count) for step in saga]

    assert found == steps


def test_a_payment_goes_before_a_booking():
    assert CREATE_BOOKING_SAGA.priority is Priority.NORMAL
    assert COLLECT_PAYMENT_SAGA.priority is Priority.HIGH


def test_only_the_work_in_our_own_database_is_transactional():
    steps = [*CREATE_BOOKING_SAGA, *COLLECT_PAYMENT_SAGA]

    assert [step.name for step in steps if step.transactional] == ["create_invoice"]
    assert [step.name for step in steps if step.optional] == ["log_analytics"]


def test_the_sagas_are_registered_by_name():
    assert get_saga("create_booking") is CREATE_BOOKING_SAGA
    assert get_saga("collect_payment") is COLLECT_PAYMENT_SAGA
