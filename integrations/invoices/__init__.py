"""Port: fiscal documents. A booking is a service, so the document is an NFS-e.

Tax numbers are normalized here.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from django.utils.translation import gettext as _
from stdnum.br import cnpj, cpf
from stdnum.exceptions import ValidationError

from integrations import Done, Pending, Undone

CPF_LENGTH = 11


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


def parse_tax_id(document: str) -> str:
    """Return the CPF or CNPJ without punctuation. A CNPJ may have letters. Raises ValueError if it is not valid."""
    kind = cpf if len(cpf.compact(document)) == CPF_LENGTH else cnpj
    try:
        number = str(kind.validate(document))
    except ValidationError as error:
        raise ValueError(_("Enter a valid CPF or CNPJ.")) from error
    # A repeated digit passes the check digits, but such numbers are never issued.
    if len(set(number)) == 1:
        raise ValueError(_("Enter a valid CPF or CNPJ."))
    return number
