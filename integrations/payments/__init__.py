"""Port: payments by card."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from integrations import Done, Undone


@dataclass(frozen=True)
class ChargeRequest:
    """What to charge, and to which stored payment method: a token, never a card number."""

    amount: Decimal
    currency: str
    payment_method: str
    customer_name: str
    customer_email: str
    description: str = ""


@dataclass(frozen=True)
class Payment:
    """A payment at the provider. `charged` is true from the charge until a refund."""

    id: str
    status: str
    charged: bool
    amount: Decimal
    currency: str


@runtime_checkable
class PaymentGateway(Protocol):
    """Charge in two calls, create and confirm, so that a charge in doubt can be cancelled without risk."""

    def charge(self, request: ChargeRequest, *, key: str, deadline: datetime) -> Done[Payment]:
        """Charge once under `key`. Raises RetiredKey if the payment was cancelled or refunded."""
        ...

    def find(self, *, key: str, deadline: datetime) -> Done[Payment] | None:
        """Return the payment created under `key`, charged or not, or None."""
        ...

    def refund(
        self,
        request: ChargeRequest,
        *,
        key: str,
        action_key: str,
        external_id: str | None = None,
        deadline: datetime,
    ) -> Undone:
        """Refund the payment, or cancel it if it was not charged, so that a late confirm is refused.

        Without `external_id`, repeating the create of `request` under `action_key` finds the payment.
        """
        ...
