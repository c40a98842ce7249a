"""The WhatsApp port. This module also normalizes telephone numbers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import phonenumbers
from django.utils.translation import gettext as _

from integrations import Done


@dataclass(frozen=True)
class TemplateMessage:
    """A message from an approved template. `to` is a telephone number in E.164 or in Brazilian national format."""

    to: str
    template: str
    parameters: tuple[str, ...] = ()
    language: str = "en"


@dataclass(frozen=True)
class SentMessage:
    """A message that the provider has accepted but may not have delivered yet."""

    message_id: str


@runtime_checkable
class Messenger(Protocol):
    """A provider that sends messages. It does not deduplicate: each call that reaches it sends another message."""

    def send_template(self, message: TemplateMessage, *, key: str, deadline: datetime) -> Done[SentMessage]:
        """Send the message, together with `key` for tracing."""
        ...


def parse_phone(number: str, region: str = "BR") -> str:
    """Return the number in E.164, such as +5511987654321. Raise ValueError if it is not valid."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        raise ValueError(_("Enter a valid telephone number.")) from error
    if not phonenumbers.is_valid_number(parsed):
        raise ValueError(_("Enter a valid telephone number."))
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
