"""Port: analytics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from integrations import Done


@dataclass(frozen=True)
class AnalyticsEvent:
    """An event to count. `subject` identifies whom it is about; `properties` are JSON."""

    name: str
    subject: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedEvent:
    """An event that the provider has accepted."""

    id: str


@runtime_checkable
class Analytics(Protocol):
    """Record events, one per key."""

    def track(self, event: AnalyticsEvent, *, key: str, deadline: datetime) -> Done[TrackedEvent]:
        """Record the event under `key`. Repeated calls record it once."""
        ...
