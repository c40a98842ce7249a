"""The invoice sandbox.

It refuses a CPF that ends in 99, with the code `erro_autorizacao`. It does not cancel an invoice if the description
contains "past-window". With a `pending_n` fault, an invoice stays in processing for that many calls.
"""

from datetime import datetime, timedelta

from integrations import Done, Pending, Undone, ledger
from integrations.exceptions import CompensationRefused, Kind, ProviderError, RetiredKey
from integrations.invoices import CPF_LENGTH, Invoice, InvoiceRequest, parse_tax_id
from integrations.models import EffectState, FaultMode, SandboxEffect
from integrations.sandbox import Sandbox

REJECTED_CPF_ENDING = "99"
PAST_WINDOW = "past-window"
PORTAL = "https://portal.invoices.example/nfse"
TAX_OFFICE_WINDOW = timedelta(days=5)


class SandboxInvoices(Sandbox):
    """An issuer that stores invoices in the sandbox database. Poll pending invoices after `poll_after` seconds."""

    port = "invoices"

    def __init__(self, poll_after: float = 1.0) -> None:
        self.poll_after = poll_after

    def issue(self, request: InvoiceRequest, *, key: str, deadline: datetime) -> Done[Invoice] | Pending:
        """Issue the invoice under `key`. Raise RetiredKey if it was cancelled."""
        try:
            parse_tax_id(request.customer_document)
        except ValueError as error:
            raise ProviderError(Kind.REFUSED, "invalid_document", str(error)) from error
        with self.call("issue", key=key, deadline=deadline, request=request) as mode, ledger.atomic():
            invoice, replayed = ledger.record(
                self.port,
                "issue",
                key,
                request,
                state=EffectState.PROCESSING,
                external_id=ledger.short_id(key),
            )
            _finish(invoice, mode)
        return self._answer(invoice, replayed=replayed)

    def fetch(self, *, key: str, deadline: datetime) -> Done[Invoice] | Pending | None:
        """Return the invoice issued under `key`, or None."""
        with self.call("fetch", key=key, deadline=deadline, request={}) as mode:
            invoice = ledger.find(self.port, "issue", key)
            if invoice:
                _finish(invoice, mode)
        return self._answer(invoice, replayed=True) if invoice else None

    def cancel(
        self, reason: str, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime
    ) -> Undone | Pending:
        """Cancel the invoice issued under `action_key`. Refuse if its description contains "past-window"."""
        request = {"action_key": action_key, "reason": reason}

        def refused_with() -> CompensationRefused:
            return _too_late(ledger.find(self.port, "issue", action_key, external_id))

        with (
            self.call("cancel", key=key, deadline=deadline, request=request, refused_with=refused_with) as mode,
            ledger.atomic(),
        ):
            invoice = ledger.find(self.port, "issue", action_key, external_id)
            result = self._cancel(invoice, mode, key, request) if invoice else Undone(nothing_to_undo=True)
        if isinstance(result, CompensationRefused):
            raise result
        return result

    def _cancel(
        self, invoice: SandboxEffect, mode: FaultMode | None, key: str, request: dict[str, str]
    ) -> Undone | Pending | CompensationRefused:
        _finish(invoice, mode)
        if invoice.state == EffectState.PROCESSING:
            return Pending(invoice.external_id, self.poll_after)
        if invoice.state == EffectState.AUTHORIZED and PAST_WINDOW in invoice.request["description"]:
            return _too_late(invoice)
        canceled = ledger.move(invoice, EffectState.CANCELED, of=[EffectState.AUTHORIZED])
        ledger.record(self.port, "cancel", key, request, state=EffectState.DONE, external_id=invoice.external_id)
        rejected = invoice.state == EffectState.REJECTED
        return Undone(not canceled and not rejected, rejected, invoice.external_id)

    def _answer(self, invoice: SandboxEffect, *, replayed: bool) -> Done[Invoice] | Pending:
        if invoice.state == EffectState.PROCESSING:
            return Pending(invoice.external_id, self.poll_after)
        if invoice.state == EffectState.REJECTED:
            raise ProviderError(Kind.REFUSED, "erro_autorizacao", "The tax office does not authorise the invoice")
        if invoice.state == EffectState.CANCELED:
            raise RetiredKey("nfse_cancelada", "The invoice")
        number, url = invoice.response["number"], invoice.response["url"]
        return Done(Invoice(invoice.external_id, number, url), replayed)


def _finish(invoice: SandboxEffect, mode: FaultMode | None) -> None:
    """Authorise or reject an invoice in processing. With a `pending_n` fault, leave it in processing."""
    if mode is FaultMode.PENDING_N or invoice.state != EffectState.PROCESSING:
        return
    document = invoice.request["customer_document"]
    rejected = len(document) == CPF_LENGTH and document.endswith(REJECTED_CPF_ENDING)
    state = EffectState.REJECTED if rejected else EffectState.AUTHORIZED
    number = f"{invoice.pk:09d}"
    response = {} if rejected else {"number": number, "url": f"{PORTAL}/{number}"}
    ledger.move(invoice, state, of=[EffectState.PROCESSING], response=response)


def _too_late(invoice: SandboxEffect | None) -> CompensationRefused:
    number = invoice.response.get("number", "") if invoice else ""
    return CompensationRefused(
        "E523",
        f"It is too late to cancel invoice {number} by web service",
        "Ask the city's tax office to cancel it, in its portal.",
        f"{PORTAL}/{number}",
        until=invoice.created_at + TAX_OFFICE_WINDOW if invoice else None,
    )
