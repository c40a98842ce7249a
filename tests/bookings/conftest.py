"""Fixtures: a confirmed booking, and the effects in the ledger of the sandboxes."""

import pytest

from integrations.models import SandboxEffect
from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas.testing import drain
from tests.support.bookings import BOOKING


@pytest.fixture
def ledger(db):
    """Read the effects of one port: `ledger("email")` returns a list of (operation, state)."""

    def look(port: str) -> list[tuple[str, str]]:
        rows = SandboxEffect.objects.filter(port=port).order_by("pk")
        return list(rows.values_list("operation", "state"))

    return look


@pytest.fixture
def booked(saga_clock):
    services.book(BOOKING)
    drain(saga_clock)
    return Booking.objects.get()
