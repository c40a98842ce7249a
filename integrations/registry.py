"""Return the provider of each port: the provider that settings.INTEGRATIONS names, or the sandbox.

The first use of a port creates its provider. The provider is kept until the setting changes.
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
    """Return the issuer of fiscal documents."""
    return cast("InvoiceIssuer", get_port("invoices"))


def email() -> Mailer:
    """Return the sender of e-mail."""
    return cast("Mailer", get_port("email"))


def whatsapp() -> Messenger:
    """Return the sender of WhatsApp messages."""
    return cast("Messenger", get_port("whatsapp"))


def calendar() -> Calendar:
    """Return the calendar."""
    return cast("Calendar", get_port("calendar"))


def payments() -> PaymentGateway:
    """Return the payment gateway."""
    return cast("PaymentGateway", get_port("payments"))


def analytics() -> Analytics:
    """Return the analytics provider."""
    return cast("Analytics", get_port("analytics"))


@cache
def get_port(port: str) -> object:
    """Return the provider of the port, as settings.INTEGRATIONS configures it.

    Each process makes one provider for a port. Raise LookupError if there is no port with this name.
    """
    if port not in PORTS:
        raise LookupError(f"There is no port {port!r}. Choose from {', '.join(PORTS)}.")
    choice = choose(port)
    return cast("object", import_string(choice.backend)(**choice.options))


def forget_providers(*, setting: str, **_: Any) -> None:
    """Discard the providers if settings.INTEGRATIONS changed."""
    if setting == "INTEGRATIONS":
        get_port.cache_clear()


setting_changed.connect(forget_providers, dispatch_uid="integrations.registry")
