"""The saga collect_payment: charge the customer and record the charge in our books, or do neither."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from integrations import analytics as counting
from integrations.payments import ChargeRequest
from integrations.registry import analytics, email, payments
from sagaproject.bookings.models import AnalyticsEvent, Invoice, InvoiceStatus
from sagaproject.bookings.sagas import letters, wording
from sagaproject.bookings.sagas.schemas import CollectPaymentInput
from sagaproject.bookings.status import update_payment, why_not_charge
from sagaproject.provider_errors import reports_outcome
from sagas import OutcomeUnknown, Priority, Saga, SagaStep, StepContext, StepFailed, register

Output = Mapping[str, Any]


@reports_outcome
def charge(context: StepContext) -> Output:
    """Charge the customer. Fail if another payment may have charged the sale, or if the booking failed."""
    if why_not := why_not_charge(context.saga_id):
        raise StepFailed(f"{context['sale_id']} is not charged: {why_not}")
    charged = payments().charge(_charge_request(context), key=context.idempotency_key, deadline=context.deadline)
    return {"payment_id": charged.value.id}


@reports_outcome
def refund(context: StepContext) -> Output:
    """Refund the charge. After a charge in doubt, also prevent a late charge."""
    undone = payments().refund(
        _charge_request(context),
        key=context.idempotency_key,
        action_key=context.action_key,
        external_id=(context.output or {}).get("payment_id"),
        deadline=context.deadline,
    )
    return {"payment_id": undone.external_id, "refunded": not undone.nothing_to_undo}


@reports_outcome
def find_charge(context: StepContext) -> Output:
    """Return the charge if it took place. The saga then keeps the charge instead of refunding it.

    If the charge is not found, the step stays in doubt, because a delayed request could still charge. The compensation
    prevents that charge.
    """
    found = payments().find(key=context.idempotency_key, deadline=context.deadline)
    if found is None or not found.value.charged:
        raise OutcomeUnknown("No charge was found, but a delayed request may still charge")
    return {"payment_id": found.value.id}


def record_invoice(context: StepContext) -> Output:
    """Record the payment in our books."""
    invoice = Invoice.objects.create(
        idempotency_key=context.idempotency_key,
        saga_id=context.saga_id,
        sale_id=context["sale_id"],
        payment_id=context["payment_id"],
        customer_name=context["customer_name"],
        description=context["description"],
        amount=Decimal(context["amount"]),
        currency=context["currency"],
    )
    return {"invoice_number": invoice.number}


def void_invoice(context: StepContext) -> Output:
    """Void the invoice. It stays in our books with the status voided."""
    issued = Invoice.objects.filter(idempotency_key=context.action_key, status=InvoiceStatus.ISSUED)
    voided = issued.update(status=InvoiceStatus.VOIDED, voided_at=timezone.now())
    return {"invoice_voided": bool(voided)}


@reports_outcome
def send_receipt(context: StepContext) -> Output:
    """E-mail the receipt to the customer."""
    sent = email().send(letters.receipt(context), key=context.idempotency_key, deadline=context.deadline)
    return {"receipt_message_id": sent.value.message_id}


@reports_outcome
def log_analytics(context: StepContext) -> Output:
    """Report the payment to analytics, and store the event."""
    event = counting.AnalyticsEvent(
        name="payment_collected",
        subject=context["sale_id"],
        properties={
            "saga_id": context.saga_id,
            "step": context.step,
            "amount": context["amount"],
            "currency": context["currency"],
        },
    )
    tracked = analytics().track(event, key=context.idempotency_key, deadline=context.deadline)
    AnalyticsEvent.objects.get_or_create(
        saga_id=context.saga_id,
        step=context.step,
        defaults={
            "name": event.name,
            "sale_id": context["sale_id"],
            "amount": Decimal(context["amount"]),
            "currency": context["currency"],
            "event_id": tracked.value.id,
        },
    )
    return {"analytics_event_id": tracked.value.id}


def _charge_request(context: StepContext) -> ChargeRequest:
    return ChargeRequest(
        amount=Decimal(context["amount"]),
        currency=context["currency"],
        payment_method=context["payment_method"],
        customer_name=context["customer_name"],
        customer_email=context["customer_email"],
        description=context["description"],
    )


COLLECT_PAYMENT_SAGA = register(
    Saga(
        "collect_payment",
        [
            SagaStep(
                "process_payment",
                charge,
                refund,
                timeout=15.0,
                retry_count=3,
                verify=find_charge,
                money="amount",
                wording=wording.PROCESS_PAYMENT,
            ),
            SagaStep(
                "create_invoice",
                record_invoice,
                void_invoice,
                timeout=5.0,
                retry_count=2,
                transactional=True,
                wording=wording.CREATE_INVOICE,
            ),
            SagaStep(
                "send_receipt",
                send_receipt,
                timeout=5.0,
                retry_count=2,
                wording=wording.SEND_RECEIPT,
            ),
            SagaStep(
                "log_analytics",
                log_analytics,
                timeout=2.0,
                retry_count=1,
                optional=True,
                wording=wording.LOG_ANALYTICS,
            ),
        ],
        schema=CollectPaymentInput,
        description=gettext_noop("Charges a customer and enters the payment into the books."),
        priority=Priority.HIGH,
        references=("sale_id", "customer_email", "payment_id", "invoice_number"),
        personal=("customer_name", "customer_email"),
        on_change=update_payment,
        wording=wording.PAYMENT,
    )
)
