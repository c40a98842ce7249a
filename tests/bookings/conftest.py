"""Fixtures of a booking and of the sandboxes' ledger."""

import pytest

from integrations.models import SandboxEffect
from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas.testing import drain
from tests.support.bookings import BOOKING


@pytest.fixture
def ledger(db):
    """What the sandbox of a port did: ledger("email") is a list of (operation, state)."""

    def look(port: str) -> list[tuple[str, str]]:
        rows = SandboxEffect.objects.filter(port=port).order_by("pk")
        return list(rows.values_list("operation", "state"))

    return look


@pytest.fixture
def booked(saga_clock):
    services.book(BOOKING)
    drain(saga_clock)
    return Booking.objects.get()
