"""The payments port: payments by card."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from integrations import Done, Undone


@dataclass(frozen=True)
class ChargeRequest:
    """The charge to make. `payment_method` is a token, never a card number."""

    amount: Decimal
    currency: str
    payment_method: str
    customer_name: str
    customer_email: str
    description: str = ""


@dataclass(frozen=True)
class Payment:
    """A payment at the provider. `charged` is true if the customer was charged and not refunded."""

    id: str
    status: str
    charged: bool
    amount: Decimal
    currency: str


@runtime_checkable
class PaymentGateway(Protocol):
    """A payment gateway. A charge makes two calls, create and confirm, so a charge in doubt can be cancelled safely."""

    def charge(self, request: ChargeRequest, *, key: str, deadline: datetime) -> Done[Payment]:
        """Charge once under `key`. Raise RetiredKey if the payment was cancelled or refunded."""
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
        """Refund the payment if it was charged. Otherwise cancel it, so the provider refuses a late confirm.

        Without `external_id`, find the payment: create `request` under `action_key` again, which has no new effect.
        """
        ...
