"""Tell `saga_prove` which effects exist in the sandboxes."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from integrations import ledger
from integrations.conf import PORTS
from integrations.models import NEVER_DEDUPLICATED, SandboxEffect
from integrations.registry import get_port
from integrations.sandbox import Sandbox, probes
from sagaproject.bookings.demo.scenes import BOOKING, PAYMENT
from sagaproject.bookings.models import Invoice, InvoiceStatus
from sagas.definition.context import uuid_of
from sagas.models import SagaExecution
from sagas.testing import Call, CallListener, Effect

EFFECTIVE = {"authorized", "processing", "confirmed", "succeeded", "done"}
# A cancelled payment does not count, because it was never charged. Cancelled invoices and events did exist.
COMPENSATED = {"invoices": {"canceled"}, "calendar": {"canceled"}, "payments": {"refunded"}}
INPUTS = {"create_booking": BOOKING, "collect_payment": PAYMENT}


class SandboxProviders:
    """Find the effects of an execution in the sandboxes and in the project's own invoices."""

    def __init__(self) -> None:
        real = [port for port in PORTS if not isinstance(get_port(port), Sandbox)]
        if real:
            raise ImproperlyConfigured(
                f"saga_prove calls its providers hundreds of times, and these are real: {', '.join(real)}. "
                "Remove them from INTEGRATIONS first."
            )

    def watch(self, listener: CallListener) -> None:
        """Call `listener` before each sandbox call, and again after the call has committed its effect."""
        probes.append(lambda moment, port, operation, key: listener(Call(moment, f"{port}.{operation}", key)))

    def input_for(self, saga_name: str, saga_id: str) -> Mapping[str, Any]:
        """Return the input for an execution of this saga. Each execution gets its own sale id."""
        sale = hashlib.sha256(saga_id.encode()).hexdigest()[:12].upper()
        return {"sale_id": f"SALE-{sale}", **INPUTS[saga_name]} if saga_name in INPUTS else {}

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return the effect of each step of the current run, by step name."""
        return {name: self.effect(execution, name) for name in execution.plan}

    def effect(self, execution: SagaExecution, step: str) -> Effect:
        """Return the effect of one step. Find it by the step's idempotency key."""
        key = f"{execution.saga_id}:{execution.run}:{step}"
        rows = list(ledger.effects().filter(idempotency_key__in=[key, str(uuid_of(key))]))
        entries = list(Invoice.objects.filter(idempotency_key=key))
        if entries:
            voided = sum(entry.status == InvoiceStatus.VOIDED for entry in entries)
            return Effect(len(entries), voided, remains=voided < len(entries))
        if any(row.port in NEVER_DEDUPLICATED for row in rows):
            # The compensation of a message is another message. It has the compensation's key.
            undo_key = f"{key}:undo"
            undone = ledger.effects().filter(idempotency_key__in=[undo_key, str(uuid_of(undo_key))]).count()
            return Effect(len(rows), undone, remains=not undone, repeats=True)
        return _effect_of_key(rows, step)


def _effect_of_key(rows: Iterable[SandboxEffect], step: str) -> Effect:
    """Return the effect that the rows of one key show. Ignore retired event ids, which have no request.

    `due` is true if the step had an effect in any execution. Then each successful attempt must have one.
    """
    undone = [row for row in rows if row.request and row.state in COMPENSATED.get(row.port, ())]
    effective = [row for row in rows if row.state in EFFECTIVE]
    called = ledger.effects().filter(idempotency_key__endswith=f":{step}").exists()
    due = called or Invoice.objects.filter(idempotency_key__endswith=f":{step}").exists()
    return Effect(len(undone) + len(effective), len(undone), remains=bool(effective), due=due)
