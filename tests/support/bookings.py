"""Example input for the sagas of the demo project."""

from typing import Any

from sagaproject.proof import SandboxProviders

__all__ = ["BOOKING", "PAYMENT", "SandboxProviders", "booking_input", "payment_input"]

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


def booking_input(saga_id: str) -> dict[str, Any]:
    """Return the input of a create_booking execution. Its sale id is derived from `saga_id`."""
    return BOOKING | {"sale_id": f"SALE-{saga_id}"}


def payment_input(saga_id: str, **changes: Any) -> dict[str, Any]:
    """Return the input of a collect_payment execution. Its sale id is derived from `saga_id`."""
    return PAYMENT | {"sale_id": f"SALE-{saga_id}"} | changes
