"""Pay, cancel and resolve the sale SALE-001, and read its statuses and charges."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from integrations.models import SandboxEffect
from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagaproject.bookings.services import NotPossible
from sagas.operations import Actor
from sagas.orchestrator import get_saga_orchestrator

CUSTOMER = Actor(name="customer", source="page")
DECLINED = "pm_card_chargeDeclined"
PAID = "payment-SALE-001-1"


def pay(method="pm_card_visa"):
    services.pay("SALE-001", method)


def cancel():
    return services.cancel("SALE-001", reason="I am ill", by=CUSTOMER)


def resolve(word):
    """Resolve by hand the charge that could not be refunded. `word` is "undone" or "not_done"."""
    get_saga_orchestrator().resolve_step(PAID, "process_payment", word, evidence="Stripe's dashboard", reason="seen")


def refusal_of(operation) -> str:
    with pytest.raises(NotPossible) as caught:
        operation()
    return caught.value.sentence


def statuses():
    booking = Booking.objects.get()
    return booking.status, booking.payment_status


def charges() -> int:
    """Count the charges at the payment gateway that are not refunded."""
    return SandboxEffect.objects.filter(port="payments", state="succeeded").count()


def at_once(*acts, times=1) -> list[str]:
    """Call each function `times` times, each call in its own thread.

    Return one text for each call: the error message of `NotPossible`, or "" if the call succeeded.
    """

    def try_to(operation):
        try:
            operation()
        except NotPossible as refusal:
            return refusal.sentence
        finally:
            connections.close_all()
        return ""

    with ThreadPoolExecutor(len(acts) * times) as pool:
        return list(pool.map(try_to, list(acts) * times))
