"""Port: e-mail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from integrations.results import Done


@dataclass(frozen=True)
class Invitation:
    """The calendar part of a mail; a cancellation carries the same `uid` and a higher `sequence`."""

    uid: str
    summary: str
    starts_at: datetime
    ends_at: datetime
    sequence: int = 0
    cancelled: bool = False


@dataclass(frozen=True)
class Mail:
    """One plain-text mail to one person."""

    to: str
    subject: str
    body: str
    invitation: Invitation | None = None


@dataclass(frozen=True)
class SentMail:
    """A mail that the provider has taken."""

    message_id: str


@runtime_checkable
class Mailer(Protocol):
    """Sends mail. Nobody deduplicates it: each call that reaches the provider is one more mail."""

    def send(self, mail: Mail, *, key: str, deadline: datetime) -> Done[SentMail]:
        """Send the mail; `key` becomes its Message-ID, which is a trace and no deduplication."""
        ...
