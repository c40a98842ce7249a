"""The sandbox's ledger, as the invariants need to know it; and the sagas' input."""

from collections.abc import Mapping
from typing import Any

from integrations import ledger
from integrations.models import SandboxEffect
from integrations.sandbox import probes
from sagaproject.bookings.models import Invoice, InvoiceStatus
from sagas.models import SagaExecution
from sagas.testing import Effect

# Step -> the port, the action's operation and the undo's; for a message both are the same.
MESSAGES = {
    "send_email": ("email", "send"),
    "send_whatsapp": ("whatsapp", "send_template"),
    "send_receipt": ("email", "send"),
}
THINGS = {
    "create_nf": ("invoices", "issue"),
    "add_calendar": ("calendar", "add"),
    "process_payment": ("payments", "charge"),
    "log_analytics": ("analytics", "track"),
}
STANDS = {"authorized", "processing", "confirmed", "succeeded", "done"}
# A payment that was cancelled was never charged; an invoice or an event that was cancelled had been there.
UNDONE = {"create_nf": {"canceled"}, "add_calendar": {"canceled"}, "process_payment": {"refunded"}}


class SandboxWorld:
    """What the sandboxes did for an execution, by their own rows."""

    def watch(self, tell: Any) -> None:
        """Tell of each call to a sandbox, before it and after its effect's commit."""
        probes.append(lambda moment, port, operation, key: tell(f"{moment} {port}.{operation} {key}"))

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """What the ledger says of each step of the current run."""
        return {name: self.effect(execution, name) for name in execution.plan}

    def effect(self, execution: SagaExecution, step: str) -> Effect:
        """What the ledger says of one step."""
        key = f"{execution.saga_id}:{execution.run}:{step}"
        if step == "create_invoice":
            return financial_record(key)
        if step in MESSAGES:
            return message(key, *MESSAGES[step], due=step != "send_whatsapp" or execution.input["customer_phone"])
        return thing(key, step, *THINGS[step])


def financial_record(key: str) -> Effect:
    rows = list(Invoice.objects.filter(idempotency_key=key))
    voided = [row for row in rows if row.status == InvoiceStatus.VOIDED]
    return Effect(len(rows), len(voided), stands=len(rows) > len(voided))


def message(key: str, port: str, operation: str, *, due: Any) -> Effect:
    """A message stands until its apology has gone out."""
    sent = ledger.effects().filter(port=port, operation=operation)
    done, undone = sent.filter(idempotency_key=key).count(), sent.filter(idempotency_key=f"{key}:undo").count()
    return Effect(done, undone, stands=bool(done and not undone), repeats=True, due=bool(due))


def thing(key: str, step: str, port: str, operation: str) -> Effect:
    """One row a key; what the undo left of it is its state, and an event's tombstone was never an event."""
    rows: list[SandboxEffect] = list(ledger.effects().filter(port=port, operation=operation, idempotency_key=key))
    undone = [row for row in rows if row.request and row.state in UNDONE.get(step, ())]
    stands = [row for row in rows if row.state in STANDS]
    return Effect(len(undone) + len(stands), len(undone), stands=bool(stands))


def booking_input(saga_id: str) -> dict[str, Any]:
    """The input of a create_booking execution of its own sale."""
    return {
        "sale_id": f"SALE-{saga_id}",
        "customer_name": "Ana Souza",
        "customer_email": "customer@example.com",
        "customer_phone": "+5511987654321",
        "customer_document": "529.982.247-25",
        "description": "City tour",
        "amount": "420.00",
        "starts_at": "2026-12-01T10:00:00-03:00",
        "ends_at": "2026-12-01T12:00:00-03:00",
    }


def payment_input(saga_id: str, **other: Any) -> dict[str, Any]:
    """The input of a collect_payment execution of its own sale."""
    return {
        "sale_id": f"SALE-{saga_id}",
        "customer_name": "Ana Souza",
        "customer_email": "customer@example.com",
        "amount": "420.00",
        "payment_method": "pm_card_visa",
        "description": "City tour",
        **other,
    }
