"""The sagas' input, each of a sale of its own."""

from typing import Any

from sagaproject.proof import SandboxWorld

__all__ = ["SandboxWorld", "booking_input", "payment_input"]


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
