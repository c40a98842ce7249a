"""The invoices port: fiscal documents. A booking is a service, so the document is an NFS-e.

This module also normalizes tax numbers.
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
    """The data of the invoice to issue. `customer_document` is a CPF or CNPJ without punctuation."""

    customer_name: str
    customer_email: str
    customer_document: str
    description: str
    amount: Decimal
    currency: str = "BRL"


@dataclass(frozen=True)
class Invoice:
    """An authorised invoice. `ref` is the reference that the provider derives from our key."""

    ref: str
    number: str
    url: str


@runtime_checkable
class InvoiceIssuer(Protocol):
    """A provider that issues and cancels invoices. Both calls can return Pending."""

    def issue(self, request: InvoiceRequest, *, key: str, deadline: datetime) -> Done[Invoice] | Pending:
        """Issue the invoice under `key`. Repeated calls with this key issue nothing more."""
        ...

    def fetch(self, *, key: str, deadline: datetime) -> Done[Invoice] | Pending | None:
        """Return the invoice issued under `key`, or None if the provider has none."""
        ...

    def cancel(
        self, reason: str, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime
    ) -> Undone | Pending:
        """Cancel the invoice issued under `action_key`. Raise CompensationRefused if only a person can cancel it."""
        ...


def parse_tax_id(document: str) -> str:
    """Return the CPF or CNPJ without punctuation. A CNPJ may have letters. Raise ValueError if it is not valid."""
    kind = cpf if len(cpf.compact(document)) == CPF_LENGTH else cnpj
    try:
        number = str(kind.validate(document))
    except ValidationError as error:
        raise ValueError(_("Enter a valid CPF or CNPJ.")) from error
    # Numbers such as 111.111.111-11 have correct check digits but are never issued.
    if len(set(number)) == 1:
        raise ValueError(_("Enter a valid CPF or CNPJ."))
    return number
