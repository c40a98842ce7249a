"""The errors of all providers.

ProviderError               a call failed; `kind` says whether it may have taken effect
├── IdempotencyConflict     refused: the key was used with another request
├── RetiredKey              refused: the effect of the key was compensated
└── CompensationRefused     refused: the provider cannot compensate; a person can
"""

from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """The kind of an error. Only a call that ended with UNKNOWN may have taken effect."""

    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    UNKNOWN = "unknown"


class ProviderError(Exception):
    """A call to a provider failed.

    `code` is the provider's own error code. `retry_after` is the delay in seconds that the provider asked for.
    """

    def __init__(self, kind: Kind, code: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{detail} ({code})")
        self.kind = kind
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class IdempotencyConflict(ProviderError):
    """The key was used before with a different request. This request had no effect."""

    def __init__(self) -> None:
        super().__init__(
            Kind.REFUSED,
            "idempotency_conflict",
            "The provider has already used this idempotency key for a request with other content",
        )


class RetiredKey(ProviderError):
    """The effect under this key was compensated or prevented. The key cannot be used again."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(Kind.REFUSED, code, f"{what} was undone; the same request is not carried out again")


class CompensationRefused(ProviderError):
    """The provider refuses the compensation permanently.

    `manual_action`, `url` and `until` tell a person what to do, where, and before when. The message omits `until`,
    because its format depends on the reader's language.
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
