"""Sagas of every kind of step: what they call can fail in every way, and all of them end."""

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
# Faults are frequent and short here: many quick retries outlast them, and nobody has to help.
PATIENT: dict[str, Any] = {"retry_count": 10, "retry_delay": 0.2, "max_delay": 2.0, "timeout": TIMEOUT}
# A transaction must not outlive its lease.
OURS = PATIENT | {"timeout": LEASE / 3, "transactional": True}


def charge(context: StepContext) -> Output:
    """Two calls, of which only the second takes money."""
    payment = call(context, "payments.create")["id"]
    call(context, "payments.confirm", id=payment)
    return {"payment": payment}


def give_back(context: StepContext) -> Output:
    """In doubt, by making sure that there is a payment and that it will never be confirmed."""
    payment = (context.output or {}).get("payment")
    if payment is None:
        payment = call(context, "payments.create", key=context.action_key)["id"]
    if call(context, "payments.cancel", id=payment)["charged"]:
        call(context, "payments.refund", id=payment)
    return {}


def put(context: StepContext, port: str) -> Output:
    """Under an id of our own, which the provider takes once."""
    answer = call(context, f"{port}.put", id=str(context.idempotency_uuid))
    if not answer["ready"]:
        raise StillPending(ASK_AGAIN, output={"accepted": True})
    return {}


def delete(context: StepContext, port: str) -> Output:
    """In doubt too: an id that was never used is dead from now on."""
    call(context, f"{port}.delete", id=str(context.action_uuid), in_doubt=context.uncertain)
    return {}


def post(context: StepContext, port: str) -> Output:
    """One more each time it gets through."""
    return {"id": call(context, f"{port}.post")["id"]}


def find_invoice(context: StepContext) -> Output | None:
    """What the provider knows under the key."""
    found = call(context, "invoices.find", id=context.action_key)["found"]
    return {"id": found[0]} if found else None


def cancel_invoice(context: StepContext) -> Output:
    """All that there are under the key."""
    for number in _letters(context, "invoices"):
        call(context, "invoices.take_back", id=number)
    return {}


def apologise(context: StepContext) -> Output:
    """To whoever got the message."""
    if _letters(context, "messages"):
        call(context, "messages.post")
    return {}


def record(context: StepContext) -> Output:
    """In our own database, in the transaction of the checkpoint."""
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
    """Likewise; what did not commit is not there."""
    standing = Invoice.objects.filter(idempotency_key=context.action_key, status=InvoiceStatus.ISSUED)
    return {"voided": standing.update(status=InvoiceStatus.VOIDED, voided_at=timezone.now())}


def _letters(context: StepContext, port: str) -> list[int]:
    """Those under the action's key; if none is there, once more when none can be on its way any longer."""
    found: list[int] = call(context, f"{port}.find", id=context.action_key)["found"]
    looked = bool((context.output or {}).get("looked"))
    if not found and context.uncertain and not looked:
        raise StillPending(2 * TIMEOUT, output={"looked": True})
    return found


def _document(name: str, port: str) -> SagaStep:
    action, undo = functools.partial(put, port=port), functools.partial(delete, port=port)
    return SagaStep(name, action, undo, **PATIENT)


CHARGE = SagaStep("charge", charge, give_back, **PATIENT)
PIVOT = SagaStep("charge", charge, give_back, pivot=True, **PATIENT)
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
    # With a point of no return, after which nothing can be refused.
    register(Saga("sale", [BOOK, BILL, PIVOT, RECORD_LAST, TELL_LAST, REWARD])),
]
# Which of their steps a provider may be told to refuse.
REFUSABLE = {
    "order": ("charge", "book", "tell", "reward", "approve", "approve"),
    "delivery": ("charge", "ship", "bill", "approve", "approve"),
    "offer": ("tell", "ship", "approve"),
    "sale": ("book", "bill", "charge", "reward"),
}
