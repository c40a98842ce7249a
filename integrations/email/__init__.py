"""The e-mail port."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from integrations import Done


@dataclass(frozen=True)
class Invitation:
    """The calendar part of a mail. A cancellation has the same `uid` and a higher `sequence`."""

    uid: str
    summary: str
    starts_at: datetime
    ends_at: datetime
    sequence: int = 0
    cancelled: bool = False


@dataclass(frozen=True)
class Mail:
    """A plain-text mail to one recipient."""

    to: str
    subject: str
    body: str
    invitation: Invitation | None = None


@dataclass(frozen=True)
class SentMail:
    """A mail that the provider has accepted."""

    message_id: str


@runtime_checkable
class Mailer(Protocol):
    """A provider that sends mail. It does not deduplicate: each call that reaches it sends another mail."""

    def send(self, mail: Mail, *, key: str, deadline: datetime) -> Done[SentMail]:
        """Send the mail. Its Message-ID is derived from `key`, for tracing only."""
        ...
