"""Sagas with every kind of step; each saga ends although its calls fail in every way."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from sagaproject.bookings.models import Invoice, InvoiceStatus
from sagas import Saga, SagaStep, StepContext, StillPending, register
from tests.chaos.limits import LEASE, TIMEOUT

from .client import call

Output = Mapping[str, Any]

ASK_AGAIN = 0.3
# Faults are frequent and short in the soak: many quick retries make an operator unnecessary.
PATIENT: dict[str, Any] = {"retry_count": 10, "retry_delay": 0.2, "max_delay": 2.0, "timeout": TIMEOUT}
# A transaction must end before its lease does.
OURS = PATIENT | {"timeout": LEASE / 3, "transactional": True}


def charge(context: StepContext) -> Output:
    """Create a payment, then confirm it; the confirmation takes the money."""
    payment = call(context, "payments.create")["id"]
    call(context, "payments.confirm", id=payment)
    return {"payment": payment}


def refund(context: StepContext) -> Output:
    """Refund the payment. If the charge is in doubt, first create the payment, so that a late confirmation fails."""
    payment = (context.output or {}).get("payment")
    if payment is None:
        payment = call(context, "payments.create", key=context.action_key)["id"]
    if call(context, "payments.cancel", id=payment)["charged"]:
        call(context, "payments.refund", id=payment)
    return {}


def put(context: StepContext, port: str) -> Output:
    """Create a document under an id that is never used again."""
    answer = call(context, f"{port}.put", id=str(context.idempotency_uuid))
    if not answer["ready"]:
        raise StillPending(ASK_AGAIN, output={"accepted": True})
    return {}


def delete(context: StepContext, port: str) -> Output:
    """Delete the document; if the creation is in doubt, the deletion also prevents a late creation."""
    call(context, f"{port}.delete", id=str(context.action_uuid), in_doubt=context.uncertain)
    return {}


def post(context: StepContext, port: str) -> Output:
    """Send a letter; each call sends another one."""
    return {"id": call(context, f"{port}.post")["id"]}


def find_invoice(context: StepContext) -> Output | None:
    """Return the invoice that was sent with the action's key."""
    found = call(context, "invoices.find", id=context.action_key)["found"]
    return {"id": found[0]} if found else None


def cancel_invoice(context: StepContext) -> Output:
    """Take back all invoices that were sent with the action's key."""
    for number in _letters(context, "invoices"):
        call(context, "invoices.take_back", id=number)
    return {}


def apologise(context: StepContext) -> Output:
    """Send an apology if the action sent its message."""
    if _letters(context, "messages"):
        call(context, "messages.post")
    return {}


def record(context: StepContext) -> Output:
    """Create an invoice in the same transaction as the checkpoint."""
    invoice = Invoice.objects.create(
        idempotency_key=context.idempotency_key,
        saga_id=context.saga_id,
        sale_id=context.saga_id[:64],
        payment_id="",
        customer_name="Ana Souza",
        amount=42,
        currency="BRL",
    )
    return {"invoice": invoice.pk}


def void(context: StepContext) -> Output:
    """Void the invoice; there is none if its transaction was rolled back."""
    issued = Invoice.objects.filter(idempotency_key=context.action_key, status=InvoiceStatus.ISSUED)
    return {"voided": issued.update(status=InvoiceStatus.VOIDED, voided_at=timezone.now())}


def _letters(context: StepContext, port: str) -> list[int]:
    """Return the letters with the action's key; if there are none, look again when no letter can be delayed."""
    found: list[int] = call(context, f"{port}.find", id=context.action_key)["found"]
    looked = bool((context.output or {}).get("looked"))
    if not found and context.uncertain and not looked:
        raise StillPending(2 * TIMEOUT, output={"looked": True})
    return found


def _document(name: str, port: str) -> SagaStep:
    action, compensation = functools.partial(put, port=port), functools.partial(delete, port=port)
    return SagaStep(name, action, compensation, **PATIENT)


CHARGE = SagaStep("charge", charge, refund, **PATIENT)
PIVOT = SagaStep("charge", charge, refund, pivot=True, **PATIENT)
BOOK = _document("book", "calendar")
APPROVE = _document("approve", "calendar")
SHIP = _document("ship", "jobs")
REWARD = SagaStep("reward", functools.partial(put, port="points"), optional=True, **PATIENT)
BILL = SagaStep(
    "bill", functools.partial(post, port="invoices"), cancel_invoice, verify=find_invoice, idempotent=False, **PATIENT
)
TELL = SagaStep("tell", functools.partial(post, port="messages"), apologise, **PATIENT)
TELL_LAST = SagaStep("tell", functools.partial(post, port="messages"), optional=True, **PATIENT)
RECORD = SagaStep("record", record, void, **OURS)
RECORD_LAST = SagaStep("record", record, **OURS)

SHAPES = [
    register(Saga("order", [RECORD, CHARGE, BOOK, TELL, REWARD, APPROVE])),
    register(Saga("delivery", [CHARGE, SHIP, BILL, APPROVE])),
    register(Saga("offer", [TELL, RECORD, SHIP, APPROVE])),
    # No step after the pivot can be refused.
    register(Saga("sale", [BOOK, BILL, PIVOT, RECORD_LAST, TELL_LAST, REWARD])),
]
# The steps that the provider may refuse, by saga.
REFUSABLE = {
    "order": ("charge", "book", "tell", "reward", "approve", "approve"),
    "delivery": ("charge", "ship", "bill", "approve", "approve"),
    "offer": ("tell", "ship", "approve"),
    "sale": ("book", "bill", "charge", "reward"),
}
