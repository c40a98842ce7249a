"""Port: fiscal documents. A booking is a service, so what is issued is the NFS-e."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from integrations.results import Done, Pending, Undone


@dataclass(frozen=True)
class InvoiceRequest:
    """What is invoiced, to whom; `customer_document` is a CPF or CNPJ without punctuation."""

    customer_name: str
    customer_email: str
    customer_document: str
    description: str
    amount: Decimal
    currency: str = "BRL"


@dataclass(frozen=True)
class Invoice:
    """An authorised invoice; `ref` is the provider's name for our key."""

    ref: str
    number: str
    url: str


@runtime_checkable
class InvoiceIssuer(Protocol):
    """Issues fiscal documents, perhaps not at once, and cancels them, perhaps no longer."""

    def issue(self, request: InvoiceRequest, *, key: str, deadline: datetime) -> Done[Invoice] | Pending:
        """Issue the invoice under `key`, once, however often it is called."""
        ...

    def fetch(self, *, key: str, deadline: datetime) -> Done[Invoice] | Pending | None:
        """What became of the invoice issued under `key`; None if the provider never heard of it."""
        ...

    def cancel(
        self, reason: str, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime
    ) -> Undone | Pending:
        """Cancel the invoice issued under `action_key`; raises UndoRefused where only a person can."""
        ...
