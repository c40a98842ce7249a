"""The payment sandbox. It creates, confirms, cancels and refunds payments.

Payment methods have the names of Stripe's test cards. The sandbox charges those in APPROVED. It refuses those in
DECLINED with a reason, and all others because they do not exist.
"""

from datetime import datetime
from decimal import Decimal

from integrations import Done, Undone, ledger
from integrations.exceptions import CompensationRefused, Kind, ProviderError, RetiredKey
from integrations.models import EffectState, SandboxEffect
from integrations.payments import ChargeRequest, Payment
from integrations.sandbox import Sandbox

APPROVED = frozenset({"pm_card_visa", "pm_card_visa_debit", "pm_card_mastercard", "pm_card_amex"})
DECLINED = {
    "pm_card_chargeDeclined": ("card_declined", "The card was declined"),
    "pm_card_visa_chargeDeclined": ("card_declined", "The card was declined"),
    "pm_card_chargeCustomerFail": ("card_declined", "The card was declined"),
    "pm_card_chargeDeclinedInsufficientFunds": ("insufficient_funds", "The card has insufficient funds"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("insufficient_funds", "The card has insufficient funds"),
    "pm_card_insufficientFunds": ("insufficient_funds", "The card has insufficient funds"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "The card has expired"),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", "The card's security code is wrong"),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", "The card could not be processed"),
    "pm_card_chargeDeclinedFraudulent": ("fraudulent", "The card was declined as fraudulent"),
    "pm_card_chargeDeclinedLostCard": ("lost_card", "The card was reported lost"),
    "pm_card_chargeDeclinedStolenCard": ("stolen_card", "The card was reported stolen"),
}
UNKNOWN_METHOD = ("resource_missing", "The payment gateway does not know this payment method")
NOT_CHARGED = (EffectState.REQUIRES_CONFIRMATION, EffectState.REQUIRES_PAYMENT_METHOD)
DASHBOARD = "https://dashboard.payments.example/payments"


class SandboxGateway(Sandbox):
    """A payment gateway that stores payments in the sandbox database.

    Each payment is a row with the operation `charge`, and each refund a row with the operation `refund`.
    """

    port = "payments"

    def charge(self, request: ChargeRequest, *, key: str, deadline: datetime) -> Done[Payment]:
        """Create the payment under `key` and confirm it. Repeated calls charge once."""
        payment = self._create(request, key, deadline)
        method = payment.request["payment_method"]
        outcome = EffectState.SUCCEEDED if method in APPROVED else EffectState.REQUIRES_PAYMENT_METHOD
        with self.call("confirm", key=key, deadline=deadline, request=request):
            confirmed = ledger.move(payment, outcome, of=[EffectState.REQUIRES_CONFIRMATION])
        if payment.state == EffectState.REQUIRES_PAYMENT_METHOD:
            code, reason = DECLINED.get(method, UNKNOWN_METHOD)
            raise ProviderError(Kind.REFUSED, code, reason)
        if payment.state != EffectState.SUCCEEDED:
            raise RetiredKey("payment_intent_unexpected_state", "The payment")
        return Done(_payment(payment), replayed=not confirmed)

    def find(self, *, key: str, deadline: datetime) -> Done[Payment] | None:
        """Return the payment created under `key`, or None."""
        with self.call("find", key=key, deadline=deadline, request={}):
            payment = ledger.find(self.port, "charge", key)
        return Done(_payment(payment), replayed=True) if payment else None

    def refund(
        self,
        request: ChargeRequest,
        *,
        key: str,
        action_key: str,
        external_id: str | None = None,
        deadline: datetime,
    ) -> Undone:
        """Refund the payment if it was charged. Otherwise cancel it, so a late confirm is refused."""
        identity = external_id or self._create(request, action_key, deadline).external_id
        compensation = {"action_key": action_key}
        with (
            self.call("refund", key=key, deadline=deadline, request=compensation, refused_with=_not_possible),
            ledger.atomic(),
        ):
            payment = ledger.find(self.port, "charge", action_key, identity)
            if payment is None:
                raise ProviderError(Kind.REFUSED, "resource_missing", f"There is no payment {identity}")
            # Try to cancel first. If a confirm charges the payment at the same time, the refund below succeeds instead.
            changed = ledger.move(payment, EffectState.CANCELED, of=NOT_CHARGED) or ledger.move(
                payment, EffectState.REFUNDED, of=[EffectState.SUCCEEDED]
            )
            ledger.record(self.port, "refund", key, compensation, state=payment.state, external_id=identity)
        return Undone(not changed, payment.state == EffectState.CANCELED, identity)

    def _create(self, request: ChargeRequest, key: str, deadline: datetime) -> SandboxEffect:
        with self.call("create", key=key, deadline=deadline, request=request):
            payment, _ = ledger.record(
                self.port,
                "charge",
                key,
                request,
                state=EffectState.REQUIRES_CONFIRMATION,
                external_id=f"pi_{ledger.short_id(key)}",
            )
        return payment


def _payment(payment: SandboxEffect) -> Payment:
    return Payment(
        id=payment.external_id,
        status=payment.state,
        charged=payment.state == EffectState.SUCCEEDED,
        amount=Decimal(payment.request["amount"]),
        currency=payment.request["currency"],
    )


def _not_possible() -> CompensationRefused:
    return CompensationRefused(
        "charge_not_refundable",
        "The payment gateway does not refund this payment",
        "Refund the customer in the gateway's dashboard, or by bank transfer.",
        DASHBOARD,
    )
