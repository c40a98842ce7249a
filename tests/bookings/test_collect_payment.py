"""The steps of the saga collect_payment, called one by one."""

from decimal import Decimal

import pytest

from integrations.models import SandboxEffect
from sagaproject.bookings.models import AnalyticsEvent, Invoice, InvoiceStatus
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA
from sagas import OutcomeUnknown, RetryLater, StepFailed
from tests.bookings.steps import Steps
from tests.support.bookings import PAYMENT


@pytest.fixture
def payment(orchestrator, db) -> Steps:
    orchestrator.start("s1", "collect_payment", context=PAYMENT)
    return Steps(COLLECT_PAYMENT_SAGA, PAYMENT)


def test_every_step_leaves_what_people_search_by(payment):
    for name in COLLECT_PAYMENT_SAGA.names:
        payment.operation(name)

    found = {key for key in COLLECT_PAYMENT_SAGA.references if payment.data.get(key)}
    assert found == {"sale_id", "customer_email", "payment_id", "invoice_number"}


def test_the_payment_is_in_our_books(payment):
    payment.operation("process_payment")
    output = payment.operation("create_invoice")

    invoice = Invoice.objects.get()
    assert (invoice.amount, invoice.currency) == (Decimal("420.00"), "BRL")
    assert (invoice.saga_id, invoice.sale_id) == ("s1", "SALE-001")
    assert invoice.payment_id == payment.data["payment_id"]
    assert output == {"invoice_number": f"INV-{invoice.pk:06d}"}


def test_an_entry_in_the_books_is_voided_and_kept(payment):
    payment.operation("process_payment")
    payment.operation("create_invoice")

    assert payment.undo("create_invoice") == {"invoice_voided": True}
    assert payment.undo("create_invoice") == {"invoice_voided": False}
    invoice = Invoice.objects.get()
    assert invoice.status == InvoiceStatus.VOIDED
    assert invoice.voided_at


def test_a_charge_is_refunded(payment, ledger):
    payment.operation("process_payment")

    output = payment.undo("process_payment")

    assert output == {"payment_id": payment.data["payment_id"], "refunded": True}
    assert ledger("payments") == [("charge", "refunded"), ("refund", "refunded")]


def test_a_charge_in_doubt_that_took_place_is_found_and_kept(payment, plant, ledger):
    plant("payments", "charge", "effect_then_lose_reply")
    with pytest.raises(OutcomeUnknown):
        payment.operation("process_payment")

    assert payment.verify("process_payment") == payment.operation("process_payment")
    assert ledger("payments") == [("charge", "succeeded")]


@pytest.mark.parametrize("mode", ["fail_before", None])
def test_nobody_says_that_a_charge_in_doubt_did_not_take_place(payment, plant, mode):
    if mode:
        plant("payments", "charge", mode)
        with pytest.raises(RetryLater):
            payment.operation("process_payment")

    with pytest.raises(OutcomeUnknown) as caught:
        payment.verify("process_payment")

    assert str(caught.value) == "No charge was found, but a delayed request may still charge"


def test_a_charge_in_doubt_that_took_place_is_refunded_without_its_id(payment, plant, ledger):
    plant("payments", "charge", "effect_then_lose_reply")
    with pytest.raises(OutcomeUnknown):
        payment.operation("process_payment")

    assert payment.undo("process_payment", uncertain=True)["refunded"]
    assert ledger("payments") == [("charge", "refunded"), ("refund", "refunded")]


def test_a_charge_in_doubt_cannot_take_place_after_its_compensation(payment, ledger):
    assert not payment.undo("process_payment", uncertain=True)["refunded"]

    with pytest.raises(StepFailed) as caught:
        payment.operation("process_payment")

    assert str(caught.value) == (
        "The payment was undone; the same request is not carried out again (payment_intent_unexpected_state)"
    )
    assert ledger("payments") == [("charge", "canceled"), ("refund", "canceled")]


def test_a_declined_card_says_why(payment):
    payment.data["payment_method"] = "pm_card_chargeDeclinedInsufficientFunds"

    with pytest.raises(StepFailed) as caught:
        payment.operation("process_payment")

    assert str(caught.value) == "The card has insufficient funds (insufficient_funds)"


def test_the_receipt_names_the_amount_and_the_payment(payment):
    payment.operation("process_payment")
    payment.operation("send_receipt")

    mail = SandboxEffect.objects.get(port="email").request
    assert mail["subject"] == "Receipt for SALE-001"
    assert mail["body"] == (
        f"Dear Ana Souza,\n\nwe have received R$ 420.00 for City tour.\n\nPayment: {payment.data['payment_id']}\n"
    )


def test_analytics_are_told_once_and_we_keep_what_they_were_told(payment, ledger):
    first, second = payment.operation("log_analytics"), payment.operation("log_analytics")

    event = AnalyticsEvent.objects.get()
    assert first == second == {"analytics_event_id": event.event_id}
    assert (event.saga_id, event.step, event.name) == ("s1", "log_analytics", "payment_collected")
    assert (event.amount, event.currency) == (Decimal("420.00"), "BRL")
    assert ledger("analytics") == [("track", "done")]
