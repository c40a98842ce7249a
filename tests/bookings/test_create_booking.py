"""The steps of the saga create_booking, called one by one."""

from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

import pytest

from integrations.models import SandboxEffect
from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
from sagas import OutcomeUnknown, RetryLater, StepFailed, StillPending
from tests.bookings.steps import Steps
from tests.support.bookings import BOOKING

STEPS = CREATE_BOOKING_SAGA.names


@pytest.fixture
def booking(db) -> Steps:
    return Steps(CREATE_BOOKING_SAGA, BOOKING)


@pytest.fixture
def without_phone(db) -> Steps:
    return Steps(CREATE_BOOKING_SAGA, BOOKING | {"customer_phone": ""})


def test_every_step_leaves_what_people_search_by(booking):
    for name in STEPS:
        booking.operation(name)

    found = {key for key in CREATE_BOOKING_SAGA.references if booking.data.get(key)}
    assert found == {"sale_id", "customer_email", "invoice_ref", "invoice_number", "event_id"}


def test_the_providers_get_what_the_customer_gave(booking):
    for name in STEPS:
        booking.operation(name)

    invoice, mail, message, event = SandboxEffect.objects.order_by("pk")
    assert invoice.request["amount"] == "420.00"
    assert mail.request["to"] == "customer@example.com"
    assert mail.request["subject"] == "Your booking SALE-001 is confirmed"
    assert mail.request["body"] == ("Dear Ana Souza,\n\nCity tour is booked for you.\n\nStart: Dec. 1, 2026, 10 a.m.\n")
    assert message.request["to"] == "+5511987654321"
    assert event.request["starts_at"] == "2026-12-01T10:00:00-03:00"


def test_what_was_done_is_undone(booking, ledger):
    for name in STEPS:
        booking.operation(name)

    outputs = [booking.undo(name) for name in reversed(STEPS)]

    assert [sorted(output) for output in outputs] == [
        ["event_removed"],
        ["whatsapp_cancellation_id"],
        ["email_cancellation_id"],
        ["invoice_canceled"],
    ]
    assert ledger("invoices") == [("issue", "canceled"), ("cancel", "done")]
    assert ledger("email") == [("send", "sent"), ("send", "sent")]
    assert ledger("whatsapp") == [("send_template", "sent"), ("send_template", "sent")]
    assert ledger("calendar") == [("add", "canceled"), ("remove", "done")]


@pytest.mark.parametrize("name", STEPS)
def test_what_may_have_happened_is_undone_without_its_output(booking, plant, ledger, name):
    port, operation = {
        "create_nf": ("invoices", "issue"),
        "send_email": ("email", "send"),
        "send_whatsapp": ("whatsapp", "send_template"),
        "add_calendar": ("calendar", "add"),
    }[name]
    plant(port, operation, "effect_then_lose_reply")

    with pytest.raises(OutcomeUnknown) as caught:
        booking.operation(name)
    booking.undo(name, uncertain=True)

    assert str(caught.value) == "The connection broke before the provider's answer came (reply_lost)"
    assert len(ledger(port)) == 2


def test_the_cancellation_mail_updates_the_confirmations_calendar_entry(booking):
    booking.operation("send_email")
    booking.undo("send_email")

    first, second = [mail.request["invitation"] for mail in SandboxEffect.objects.order_by("pk")]
    assert first["uid"] == second["uid"] == str(uuid5(NAMESPACE_URL, "sagas:s1:1:send_email"))
    assert (first["sequence"], first["cancelled"]) == (0, False)
    assert (second["sequence"], second["cancelled"]) == (1, True)


def test_without_a_telephone_number_whatsapp_is_skipped_and_so_is_its_undo(without_phone, ledger):
    skipped = {"skipped": "the customer gave no telephone number"}

    assert without_phone.operation("send_whatsapp") == skipped
    assert without_phone.undo("send_whatsapp") == skipped
    assert without_phone.undo("send_whatsapp", output=None, uncertain=True) == skipped
    assert ledger("whatsapp") == []


def test_an_invoice_in_processing_is_asked_for_until_it_is_there(booking, plant, ledger):
    plant("invoices", "", "pending_n", remaining=2)

    with pytest.raises(StillPending) as first:
        booking.operation("create_nf")
    with pytest.raises(StillPending) as second:
        booking.operation("create_nf", output=first.value.output)
    output = booking.operation("create_nf", output=second.value.output)

    assert first.value.after == 1.0
    assert first.value.output == second.value.output == {"external_id": output["invoice_ref"]}
    assert ledger("invoices") == [("issue", "authorized")]


def test_an_invoice_still_in_processing_is_cancelled_when_it_is_there(booking, plant, ledger):
    plant("invoices", "", "pending_n", remaining=2)
    with pytest.raises(StillPending) as pending:
        booking.operation("create_nf")

    with pytest.raises(StillPending):
        booking.undo("create_nf", output=pending.value.output, uncertain=True)
    output = booking.undo("create_nf", output=pending.value.output, uncertain=True, attempt=2)

    assert output == {"invoice_canceled": True}
    assert ledger("invoices") == [("issue", "canceled"), ("cancel", "done")]


def test_an_invoice_in_doubt_is_looked_for_again_after_one_timeout(booking):
    with pytest.raises(RetryLater) as caught:
        booking.undo("create_nf", uncertain=True)

    assert caught.value.after == 10.0
    assert str(caught.value) == "No invoice was found yet, but a delayed request may still issue it"
    assert booking.undo("create_nf", uncertain=True, attempt=2) == {"invoice_canceled": False}


def test_an_invoice_that_appears_between_the_two_looks_is_cancelled(booking, ledger):
    with pytest.raises(RetryLater):
        booking.undo("create_nf", uncertain=True)
    booking.operation("create_nf")

    assert booking.undo("create_nf", output=None, uncertain=True, attempt=2) == {"invoice_canceled": True}
    assert ledger("invoices") == [("issue", "canceled"), ("cancel", "done")]


def test_an_invoice_past_its_window_tells_support_what_to_do(booking):
    booking.data["description"] = "City tour, past-window"
    number = booking.operation("create_nf")["invoice_number"]

    with pytest.raises(StepFailed) as caught:
        booking.undo("create_nf")

    assert str(caught.value) == (
        f"It is too late to cancel invoice {number} by web service (E523). "
        f"Ask the city's tax office to cancel it, in its portal. https://portal.invoices.example/nfse/{number}"
    )
    issued = SandboxEffect.objects.get(operation="issue").created_at
    assert caught.value.output == {"until": issued + timedelta(days=5)}


def test_a_customer_whom_the_tax_office_rejects_gets_no_booking(booking):
    booking.data["customer_document"] = "52998201199"

    with pytest.raises(StepFailed) as caught:
        booking.operation("create_nf")

    assert str(caught.value) == "The tax office does not authorise the invoice (erro_autorizacao)"


def test_an_event_in_doubt_can_no_longer_be_added_once_it_is_undone(booking, ledger):
    assert booking.undo("add_calendar", uncertain=True) == {"event_removed": False}

    with pytest.raises(StepFailed) as caught:
        booking.operation("add_calendar")

    assert str(caught.value) == ("The calendar event was undone; the same request is not carried out again (410)")
    assert ledger("calendar") == [("add", "canceled"), ("remove", "done")]
