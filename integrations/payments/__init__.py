"""Port: payments by card."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from integrations.results import Done, Undone


@dataclass(frozen=True)
class ChargeRequest:
    """What is charged to which stored payment method (a token; never a card number)."""

    amount: Decimal
    currency: str
    payment_method: str
    customer_name: str
    customer_email: str
    description: str = ""


@dataclass(frozen=True)
class Payment:
    """A payment as the provider knows it; `charged` only while the money is ours."""

    id: str
    status: str
    charged: bool
    amount: Decimal
    currency: str


@runtime_checkable
class PaymentGateway(Protocol):
    """Charges in two keyed calls, create and confirm by id, so that a charge in doubt can be killed."""

    def charge(self, request: ChargeRequest, *, key: str, deadline: datetime) -> Done[Payment]:
        """Charge once under `key`; refused with DeadKey if the payment was cancelled or refunded."""
        ...

    def find(self, *, key: str, deadline: datetime) -> Done[Payment] | None:
        """The payment made under `key`, charged or not; None if there is none."""
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
        """Give the money back, or cancel what was not charged yet, so that a late confirm is refused.

        Without `external_id` the harmless create of `request` is replayed under `action_key` to find it.
        """
        ...
