"""Booking, paying and cancelling: what the page and the API do, through the functions that both call."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from integrations.models import SandboxEffect
from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagaproject.bookings.services import NotPossible
from sagas import InvalidInput, SagaConflict, SagaState
from sagas.models import SagaEvent, SagaExecution
from sagas.operations import By
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import drain
from tests.bookings.conftest import BOOKING, PAYMENT

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

CUSTOMER = By(name="customer", source="page")
DECLINED = "pm_card_chargeDeclined"
PAID = "payment-SALE-001-1"
BEYOND_US = (
    "This booking cannot be cancelled here any more. Please write to us, and a person will see to it and to your money."
)


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ana")


@pytest.fixture
def booked(saga_clock):
    services.book(BOOKING)
    drain(saga_clock)
    return Booking.objects.get()


def pay(method="pm_card_visa"):
    services.pay("SALE-001", method)


def cancel():
    return services.cancel("SALE-001", reason="I am ill", by=CUSTOMER)


def payment_of(booking):
    return services._payment_input(booking, "pm_card_visa")


def refusal_of(act) -> str:
    with pytest.raises(NotPossible) as caught:
        act()
    return caught.value.sentence


def statuses():
    booking = Booking.objects.get()
    return booking.status, booking.payment_status


def charges() -> int:
    """How many charges stand at the gateway."""
    return SandboxEffect.objects.filter(port="payments", state="succeeded").count()


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

    assert caught.value.errors == {"customer_document": "This is not a valid CPF or CNPJ."}
    assert not Booking.objects.exists()
    assert not SagaExecution.objects.exists()


@pytest.mark.parametrize(
    ("sale_id", "sentence"),
    [
        ("SALE/1", "Use letters, digits and . _ : ~ - only, and not . or .. alone."),
        ("Sé", "Use letters, digits and . _ : ~ - only, and not . or .. alone."),
        (".", "Use letters, digits and . _ : ~ - only, and not . or .. alone."),
        ("..", "Use letters, digits and . _ : ~ - only, and not . or .. alone."),
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
    assert refusal_of(pay) == "This booking is paid already."
    assert SagaExecution.objects.of_sagas(["collect_payment"]).count() == 1


def test_what_was_paid_is_not_paid_again_when_the_payments_saga_is_not_kept_any_more(booked):
    Booking.objects.update(payment_status="paid", payment_saga_id="payment-SALE-001-1")

    assert refusal_of(pay) == "This booking is paid already."


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
    assert attempt.error_message == ("SALE-001 is not charged: another payment has been taken for it, or may have been")
    assert statuses() == ("confirmed", "paid")
    assert charges() == 1


def test_an_old_payment_that_is_tried_again_takes_no_money_beside_one_that_is_being_made(booked, saga_clock, plant):
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
        "SALE-001 is not charged: another payment has been taken for it, or may have been"
    )
    assert charges() == 1
    assert statuses() == ("pending", "paid")
    assert Booking.objects.get().payment_saga_id == "a"


def test_a_sale_that_nobody_has_booked_may_be_paid_after_a_payment_that_failed(db):
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
def test_an_old_payment_that_is_tried_again_takes_no_money_for_a_cancelled_booking(booked, saga_clock, undone):
    pay(DECLINED)
    drain(saga_clock)
    cancel()
    if undone:
        drain(saga_clock)

    get_saga_orchestrator().correct_input("payment-SALE-001-1", payment_of(booked), reason="Another card")
    get_saga_orchestrator().retry_failed("payment-SALE-001-1")
    drain(saga_clock)

    attempt = SagaExecution.objects.get(saga_id="payment-SALE-001-1").step_executions.get()
    assert attempt.error_message == "SALE-001 is not charged: it is not booked any more"
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
    assert refusal_of(pay) == "We are checking an earlier payment of this booking; please do not pay again."


def test_what_is_no_payment_method_is_refused(booked):
    with pytest.raises(InvalidInput) as caught:
        pay("no card")

    assert caught.value.errors == {"payment_method": "Use no spaces."}
    assert Booking.objects.get().payment_saga_id == ""


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


def resolve(word):
    """A person has looked up what has become of the charge that could not be given back."""
    get_saga_orchestrator().resolve_step(PAID, "process_payment", word, evidence="Stripe's dashboard", reason="seen")


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


def test_a_charge_that_a_person_has_let_stay_is_neither_repeated_nor_forgotten(booked, saga_clock, plant):
    plant("payments", "refund", "refuse")
    plant("email", "send", "refuse")
    pay()
    drain(saga_clock)
    resolve("done")
    assert refusal_of(pay) == "This booking is paid already."
    assert refusal_of(cancel) == BEYOND_US

    again = get_saga_orchestrator().retry_failed(PAID)

    assert again.step_executions.get().error_message == (
        "SALE-001 is not charged: it has taken the money in an earlier run, and that was not given back"
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


def test_to_cancel_once_more_changes_nothing_also_when_its_saga_is_not_kept_any_more(booked, saga_clock):
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

    assert refusal_of(cancel) == "We are checking this booking already, and will write to you."


def test_a_sale_that_is_not_there_is_neither_paid_nor_cancelled():
    for act in (pay, cancel):
        with pytest.raises(Booking.DoesNotExist):
            act()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_pay_at_once_one_starts_a_payment(booked):
    told = at_once(pay, times=4)

    assert sorted(told) == ["", *["A payment of this booking is in progress."] * 3]
    assert SagaExecution.objects.of_sagas(["collect_payment"]).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_who_book_the_same_sale_at_once_all_get_the_one_booking():
    told = at_once(lambda: services.book(BOOKING), times=4)

    assert told == [""] * 4
    assert (Booking.objects.count(), SagaExecution.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_who_pays_and_who_cancels_at_once_never_leave_a_paid_booking_cancelled(booked, saga_clock):
    at_once(pay, cancel)
    drain(saga_clock)

    assert statuses() in [("cancelled", "cancelled"), ("cancelled", "pending")]
    assert charges() == 0


def at_once(*acts, times=1) -> list[str]:
    """Do them in threads of their own; what each was refused with."""

    def try_to(act):
        try:
            act()
        except NotPossible as refusal:
            return refusal.sentence
        finally:
            connections.close_all()
        return ""

    with ThreadPoolExecutor(len(acts) * times) as pool:
        return list(pool.map(try_to, list(acts) * times))
