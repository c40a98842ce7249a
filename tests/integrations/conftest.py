"""Fixtures: the contract tests of a port run once for each provider listed here."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from integrations.analytics.sandbox import SandboxAnalytics
from integrations.calendar.sandbox import SandboxCalendar
from integrations.email.sandbox import SandboxMailer
from integrations.invoices.sandbox import SandboxInvoices
from integrations.payments.sandbox import SandboxGateway
from integrations.whatsapp.sandbox import SandboxMessenger

INVOICE_ISSUERS = [SandboxInvoices]
MAILERS = [partial(SandboxMailer, slow_seconds=0.1)]
MESSENGERS = [SandboxMessenger]
CALENDARS = [SandboxCalendar]
GATEWAYS = [SandboxGateway]
ANALYTICS = [SandboxAnalytics]


def in_time(seconds: float = 10.0) -> datetime:
    """Return a deadline that is `seconds` seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def name_of(backend: Any) -> str:
    return getattr(backend, "func", backend).__name__


@pytest.fixture(params=INVOICE_ISSUERS, ids=name_of)
def issuer(request):
    return request.param()


@pytest.fixture(params=MAILERS, ids=name_of)
def mailer(request):
    return request.param()


@pytest.fixture(params=MESSENGERS, ids=name_of)
def messenger(request):
    return request.param()


@pytest.fixture(params=CALENDARS, ids=name_of)
def calendar(request):
    return request.param()


@pytest.fixture(params=GATEWAYS, ids=name_of)
def gateway(request):
    return request.param()


@pytest.fixture(params=ANALYTICS, ids=name_of)
def analytics(request):
    return request.param()
