"""The provider of each port, as settings.INTEGRATIONS names it; the sandbox where it names none.

A provider is made at its first use and kept until the setting changes.
"""

from functools import cache
from typing import Any, cast

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from integrations.analytics import Analytics
from integrations.calendar import Calendar
from integrations.conf import PORTS, choose
from integrations.email import Mailer
from integrations.invoices import InvoiceIssuer
from integrations.payments import PaymentGateway
from integrations.whatsapp import Messenger


def invoices() -> InvoiceIssuer:
    """Who issues fiscal documents."""
    return cast("InvoiceIssuer", get_port("invoices"))


def email() -> Mailer:
    """Who sends mail."""
    return cast("Mailer", get_port("email"))


def whatsapp() -> Messenger:
    """Who sends WhatsApp messages."""
    return cast("Messenger", get_port("whatsapp"))


def calendar() -> Calendar:
    """Who keeps the calendar."""
    return cast("Calendar", get_port("calendar"))


def payments() -> PaymentGateway:
    """Who charges cards."""
    return cast("PaymentGateway", get_port("payments"))


def analytics() -> Analytics:
    """Who counts events."""
    return cast("Analytics", get_port("analytics"))


@cache
def get_port(port: str) -> object:
    """The provider of the port of that name; LookupError names the ports that there are."""
    if port not in PORTS:
        raise LookupError(f"There is no port {port!r}; choose from {', '.join(PORTS)}.")
    choice = choose(port)
    return cast("object", import_string(choice.backend)(**choice.options))


def forget_providers(*, setting: str, **_: Any) -> None:
    """Make providers anew after INTEGRATIONS was changed."""
    if setting == "INTEGRATIONS":
        get_port.cache_clear()


setting_changed.connect(forget_providers, dispatch_uid="integrations.registry")
