"""Write the messages to customers, for e-mail and WhatsApp."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from integrations.email import Invitation, Mail
from integrations.whatsapp import TemplateMessage
from sagas.presentation.templates import money

Sale = Mapping[str, Any]


def booking_confirmation(sale: Sale, uid: UUID) -> Mail:
    """Return the confirmation of a booking. The cancellation must have the same `uid` for the calendar entry."""
    return Mail(
        to=sale["customer_email"],
        subject=_("Your booking %(sale)s is confirmed") % {"sale": sale["sale_id"]},
        body=_("Dear %(name)s,\n\n%(description)s is booked for you.\n\nStart: %(start)s\n") % _values(sale),
        invitation=_invitation(sale, uid),
    )


def booking_cancellation(sale: Sale, uid: UUID) -> Mail:
    """Return the cancellation of a booking. Its text does not say who cancelled the booking."""
    return Mail(
        to=sale["customer_email"],
        subject=_("Your booking %(sale)s is cancelled") % {"sale": sale["sale_id"]},
        body=_("Dear %(name)s,\n\nyour booking of %(description)s is cancelled.\n\nStart: %(start)s\n") % _values(sale),
        invitation=_invitation(sale, uid, sequence=1, cancelled=True),
    )


def receipt(sale: Sale) -> Mail:
    """Return the receipt of a payment."""
    return Mail(
        to=sale["customer_email"],
        subject=_("Receipt for %(sale)s") % {"sale": sale["sale_id"]},
        body=_("Dear %(name)s,\n\nwe have received %(money)s for %(description)s.\n\nPayment: %(payment)s\n")
        % {**_values(sale), "payment": sale["payment_id"]},
    )


def booking_message(sale: Sale, template: str) -> TemplateMessage:
    """Return a message with the WhatsApp template of this name and its parameters."""
    values = _values(sale)
    return TemplateMessage(sale["customer_phone"], template, (values["name"], values["description"], values["start"]))


def _invitation(sale: Sale, uid: UUID, **changes: Any) -> Invitation:
    start, end = moment(sale["starts_at"]), moment(sale["ends_at"])
    return Invitation(str(uid), sale["description"], start, end, **changes)


def moment(text: str) -> datetime:
    """Parse a time from the context, where times are text."""
    return datetime.fromisoformat(text)


def _values(sale: Sale) -> dict[str, str]:
    values = {"name": sale["customer_name"], "description": sale["description"]}
    if "starts_at" in sale:
        start = timezone.localtime(moment(sale["starts_at"]))
        values["start"] = formats.date_format(start, "DATETIME_FORMAT")
    if "currency" in sale:
        values["money"] = money(sale["amount"], sale["currency"])
    return values
