"""Port: fiscal documents. A booking is a service, so the document is an NFS-e."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from integrations.results import Done, Pending, Undone


@dataclass(frozen=True)
class InvoiceRequest:
    """What to invoice, and to whom. `customer_document` is a CPF or CNPJ without punctuation."""

    customer_name: str
    customer_email: str
    customer_document: str
    description: str
    amount: Decimal
    currency: str = "BRL"


@dataclass(frozen=True)
class Invoice:
    """An authorised invoice. `ref` is the provider's reference for our key."""

    ref: str
    number: str
    url: str


@runtime_checkable
class InvoiceIssuer(Protocol):
    """Issue and cancel fiscal documents. Both may stay pending; a cancellation may be too late."""

    def issue(self, request: InvoiceRequest, *, key: str, deadline: datetime) -> Done[Invoice] | Pending:
        """Issue the invoice under `key`. Repeated calls issue it once."""
        ...

    def fetch(self, *, key: str, deadline: datetime) -> Done[Invoice] | Pending | None:
        """Return the invoice issued under `key`, or None if the provider has none."""
        ...

    def cancel(
        self, reason: str, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime
    ) -> Undone | Pending:
        """Cancel the invoice issued under `action_key`. Raises CompensationRefused where only a person can."""
        ...
