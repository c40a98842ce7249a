"""Whatever goes wrong at a provider, as one family.

ProviderError             `kind` says what it means for the effect
├── IdempotencyConflict   refused: the key was used with another request
├── DeadKey               refused: what the key had made was undone
└── UndoRefused           refused: it cannot be undone by us; says what a person can do
"""

from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an error means for the effect: the first three are sure that it did not take place."""

    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    UNKNOWN = "unknown"


class ProviderError(Exception):
    """A provider did not do as asked; `code` is its own code, `retry_after` in seconds where it named one."""

    def __init__(self, kind: Kind, code: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{detail} ({code})")
        self.kind = kind
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class IdempotencyConflict(ProviderError):
    """The key was used before with another request, so this one was not carried out."""

    def __init__(self) -> None:
        super().__init__(
            Kind.REFUSED,
            "idempotency_conflict",
            "The provider knows this request's key from an earlier request with other content",
        )


class RetiredKey(ProviderError):
    """What the key had made was undone, or was ruled out before it came to be; it will not be made again."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(Kind.REFUSED, code, f"{what} was undone; the same request is not carried out again")


class CompensationRefused(ProviderError):
    """The provider will never undo it for us; `manual_action`, `url` and `until` are for a person.

    `until` is no part of the text: how it is written depends on who reads it.
    """

    def __init__(
        self, code: str, reason: str, manual_action: str, url: str = "", *, until: datetime | None = None
    ) -> None:
        super().__init__(Kind.REFUSED, code, reason)
        self.reason = reason
        self.manual_action = manual_action
        self.url = url
        self.until = until

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.reason} ({self.code}).", self.manual_action, self.url) if part)
