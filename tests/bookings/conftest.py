"""Calls a saga's steps as the engine does, and makes a booking."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.models import SandboxEffect
from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas import Saga, StepContext
from sagas.testing import drain

BOOKING = {
    "sale_id": "SALE-001",
    "customer_name": "Ana Souza",
    "customer_email": "customer@example.com",
    "customer_phone": "+5511987654321",
    "customer_document": "52998224725",
    "description": "City tour",
    "amount": "420.00",
    "starts_at": "2026-12-01T10:00:00-03:00",
    "ends_at": "2026-12-01T12:00:00-03:00",
}
PAYMENT = {
    "sale_id": "SALE-001",
    "customer_name": "Ana Souza",
    "customer_email": "customer@example.com",
    "amount": "420.00",
    "currency": "BRL",
    "payment_method": "pm_card_visa",
    "description": "City tour",
}


class Steps:
    """One run of a saga, a step at a time; an undo is told what the action returned unless told otherwise."""

    def __init__(self, saga: Saga, data: dict[str, Any]) -> None:
        self.saga = saga
        self.data = dict(data)
        self.outputs: dict[str, dict[str, Any]] = {}

    def operation(self, name: str, **about: Any) -> dict[str, Any]:
        """Call the step's action, and keep its output as the engine does."""
        output = dict(self.saga.step(name).action(self.context(name, "", **about)))
        self.outputs[name] = output
        self.data |= output
        return output

    def undo(self, name: str, **about: Any) -> dict[str, Any]:
        """Call the step's compensation."""
        about = {"output": self.outputs.get(name), "action_key": self.key(name), **about}
        return dict(self.saga.step(name).compensation(self.context(name, ":undo", **about)))

    def verify(self, name: str) -> dict[str, Any] | None:
        """Call the step's verify."""
        return self.saga.step(name).verify(self.context(name, "", action_key=self.key(name), uncertain=True))

    def key(self, name: str) -> str:
        """The action's idempotency key."""
        return f"s1:1:{name}"

    def context(self, name: str, suffix: str, *, attempt: int = 1, **about: Any) -> StepContext:
        """What the engine would hand to the step."""
        return StepContext(
            self.data,
            saga_id="s1",
            step=name,
            attempt=attempt,
            run=1,
            idempotency_key=self.key(name) + suffix,
            deadline=datetime.now(UTC) + timedelta(seconds=self.saga.step(name).timeout),
            clock=lambda: datetime.now(UTC),
            outputs=self.outputs,
            **about,
        )


@pytest.fixture
def ledger(db):
    """What the sandbox of a port did: ledger("email") is a list of (operation, state)."""

    def look(port: str) -> list[tuple[str, str]]:
        rows = SandboxEffect.objects.filter(port=port).order_by("pk")
        return list(rows.values_list("operation", "state"))

    return look


@pytest.fixture
def booked(saga_clock):
    services.book(BOOKING)
    drain(saga_clock)
    return Booking.objects.get()
