"""The saga create_booking: make an invoice, two messages to the customer and a calendar entry, or none of them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_noop

from integrations.calendar import EventRequest
from integrations.invoices import InvoiceRequest
from integrations.registry import calendar, email, invoices, whatsapp
from sagaproject.bookings.sagas import letters, wording
from sagaproject.bookings.sagas.schemas import CreateBookingInput
from sagaproject.bookings.status import update_booking
from sagaproject.provider_errors import finished, reports_outcome
from sagas import RetryLater, Saga, SagaStep, StepContext, register

Output = Mapping[str, Any]

NF_TIMEOUT = 10.0
SKIPPED = {"skipped": "the customer gave no telephone number"}


@reports_outcome
def issue_nf(context: StepContext) -> Output:
    """Issue the invoice. If an earlier attempt left it in processing, fetch it."""
    request = InvoiceRequest(
        customer_name=context["customer_name"],
        customer_email=context["customer_email"],
        customer_document=context["customer_document"],
        description=context["description"],
        amount=Decimal(context["amount"]),
    )
    key, deadline = context.idempotency_key, context.deadline
    known = invoices().fetch(key=key, deadline=deadline) if context.output else None
    invoice = finished(known or invoices().issue(request, key=key, deadline=deadline)).value
    return {"invoice_ref": invoice.ref, "invoice_number": invoice.number, "invoice_url": invoice.url}


@reports_outcome
def cancel_nf(context: StepContext) -> Output:
    """Cancel the invoice. If it is in doubt and missing, look again one timeout later, because it may appear late."""
    result = invoices().cancel(
        f"Booking {context['sale_id']} was cancelled",
        key=context.idempotency_key,
        action_key=context.action_key,
        external_id=(context.output or {}).get("invoice_ref"),
        deadline=context.deadline,
    )
    undone = finished(result)
    if context.uncertain and context.attempt == 1 and not undone.external_id:
        raise RetryLater(NF_TIMEOUT, "No invoice was found yet, but a delayed request may still issue it")
    return {"invoice_canceled": not undone.nothing_to_undo}


@reports_outcome
def send_confirmation(context: StepContext) -> Output:
    """E-mail the confirmation to the customer."""
    mail = letters.booking_confirmation(context, context.idempotency_uuid)
    sent = email().send(mail, key=context.idempotency_key, deadline=context.deadline)
    return {"email_message_id": sent.value.message_id}


@reports_outcome
def send_cancellation(context: StepContext) -> Output:
    """E-mail the cancellation to the customer, because the confirmation was sent or may have been sent."""
    mail = letters.booking_cancellation(context, context.action_uuid)
    sent = email().send(mail, key=context.idempotency_key, deadline=context.deadline)
    return {"email_cancellation_id": sent.value.message_id}


@reports_outcome
def notify(context: StepContext) -> Output:
    """Send the confirmation to the customer by WhatsApp."""
    if not context.get("customer_phone"):
        return SKIPPED
    message = letters.booking_message(context, "booking_confirmed")
    sent = whatsapp().send_template(message, key=context.idempotency_key, deadline=context.deadline)
    return {"whatsapp_message_id": sent.value.message_id}


@reports_outcome
def notify_of_cancellation(context: StepContext) -> Output:
    """Send the cancellation by WhatsApp, because the confirmation was sent or may have been sent."""
    if not context.get("customer_phone"):
        return SKIPPED
    message = letters.booking_message(context, "booking_canceled")
    sent = whatsapp().send_template(message, key=context.idempotency_key, deadline=context.deadline)
    return {"whatsapp_cancellation_id": sent.value.message_id}


@reports_outcome
def add_event(context: StepContext) -> Output:
    """Add the booking to the calendar."""
    event = EventRequest(
        summary=f"{context['sale_id']}: {context['description']}",
        starts_at=letters.moment(context["starts_at"]),
        ends_at=letters.moment(context["ends_at"]),
        attendees=(context["customer_email"],),
    )
    added = calendar().add(event, key=context.idempotency_key, deadline=context.deadline).value
    return {"event_id": added.id, "event_url": added.url}


@reports_outcome
def remove_event(context: StepContext) -> Output:
    """Remove the booking from the calendar, and prevent a delayed request from adding it later."""
    undone = calendar().remove(
        key=context.idempotency_key,
        action_key=context.action_key,
        external_id=(context.output or {}).get("event_id"),
        deadline=context.deadline,
    )
    return {"event_removed": not undone.nothing_to_undo}


CREATE_BOOKING_SAGA = register(
    Saga(
        "create_booking",
        [
            SagaStep(
                "create_nf",
                issue_nf,
                cancel_nf,
                timeout=NF_TIMEOUT,
                retry_count=3,
                wording=wording.CREATE_NF,
            ),
            SagaStep(
                "send_email",
                send_confirmation,
                send_cancellation,
                timeout=5.0,
                retry_count=2,
                wording=wording.SEND_EMAIL,
            ),
            SagaStep(
                "send_whatsapp",
                notify,
                notify_of_cancellation,
                timeout=5.0,
                retry_count=2,
                wording=wording.SEND_WHATSAPP,
            ),
            SagaStep(
                "add_calendar",
                add_event,
                remove_event,
                timeout=5.0,
                retry_count=1,
                wording=wording.ADD_CALENDAR,
            ),
        ],
        schema=CreateBookingInput,
        description=gettext_noop("Books what a customer has chosen: invoice, messages, calendar."),
        references=("sale_id", "customer_email", "invoice_ref", "invoice_number", "event_id"),
        personal=("customer_name", "customer_email", "customer_phone", "customer_document"),
        on_change=update_booking,
        wording=wording.BOOKING,
    )
)
