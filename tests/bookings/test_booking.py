"""`services.book`, the function that the booking page and the API call to book."""

import pytest

from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas import InvalidInput, SagaConflict, SagaState
from sagas.models import SagaExecution
from sagas.testing import drain
from tests.bookings.sales import at_once
from tests.support.bookings import BOOKING

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ana")


def test_a_booking_and_its_saga_are_made_together(user):
    booking = services.book(BOOKING, owner=user)

    execution = SagaExecution.objects.get()
    assert (booking.status, booking.payment_status) == ("pending", "pending")
    assert booking.customer_document == "52998224725"
    assert booking.booking_saga_id == execution.saga_id == "booking-SALE-001"
    assert booking.owner == execution.owner == user
    assert execution.state is SagaState.PENDING


def test_workers_bring_it_to_its_end(booked):
    assert (booked.status, booked.payment_status) == ("confirmed", "pending")


def test_nothing_is_made_of_a_sale_that_cannot_be():
    with pytest.raises(InvalidInput) as caught:
        services.book(BOOKING | {"customer_document": "1"})

    assert caught.value.errors == {"customer_document": "Enter a valid CPF or CNPJ."}
    assert not Booking.objects.exists()
    assert not SagaExecution.objects.exists()


@pytest.mark.parametrize(
    ("sale_id", "sentence"),
    [
        ("SALE/1", "Use only letters, digits and . _ : ~ -. The values . and .. are not allowed."),
        ("Sé", "Use only letters, digits and . _ : ~ -. The values . and .. are not allowed."),
        (".", "Use only letters, digits and . _ : ~ -. The values . and .. are not allowed."),
        ("..", "Use only letters, digits and . _ : ~ -. The values . and .. are not allowed."),
        ("", "This field may not be blank."),
    ],
)
def test_a_sale_id_must_fit_into_an_address(sale_id, sentence):
    with pytest.raises(InvalidInput) as caught:
        services.book(BOOKING | {"sale_id": sale_id})

    assert caught.value.errors == {"sale_id": sentence}


def test_the_same_sale_once_more_is_the_same_booking(user):
    first = services.book(BOOKING, owner=user)
    again = services.book(BOOKING, owner=user)
    under_another_id = services.book(BOOKING, owner=user, saga_id="mine")

    assert first == again == under_another_id
    assert SagaExecution.objects.count() == 1


def test_the_same_sale_with_other_content_is_refused(user):
    services.book(BOOKING, owner=user)

    with pytest.raises(SagaConflict):
        services.book(BOOKING | {"amount": "1.00"}, owner=user)

    assert str(Booking.objects.get().amount) == "420.00"


def test_somebody_elses_sale_is_refused_even_with_the_same_content(user):
    services.book(BOOKING, owner=user)

    with pytest.raises(SagaConflict):
        services.book(BOOKING)


def test_another_sale_under_a_sagas_id_that_is_taken_is_refused():
    services.book(BOOKING, saga_id="mine")

    with pytest.raises(SagaConflict):
        services.book(BOOKING | {"sale_id": "SALE-002"}, saga_id="mine")

    assert Booking.objects.count() == 1


def test_a_booking_that_a_payment_has_made_is_taken_over(saga_clock, user):
    Booking.objects.create(sale_id="SALE-001", customer_name="?", customer_email="?", amount=1, payment_status="paid")

    services.book(BOOKING, owner=user)
    drain(saga_clock)

    booking = Booking.objects.get()
    assert (booking.status, booking.payment_status, booking.customer_name) == ("confirmed", "paid", "Ana Souza")
    assert booking.owner == user


@pytest.mark.django_db(transaction=True)
def test_of_many_who_book_the_same_sale_at_once_all_get_the_one_booking():
    told = at_once(lambda: services.book(BOOKING), times=4)

    assert told == [""] * 4
    assert (Booking.objects.count(), SagaExecution.objects.count()) == (1, 1)
