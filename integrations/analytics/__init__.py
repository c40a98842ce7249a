"""The analytics port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from integrations import Done


@dataclass(frozen=True)
class AnalyticsEvent:
    """An event to count. `subject` identifies the person or the sale. `properties` are JSON."""

    name: str
    subject: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedEvent:
    """An event that the provider has accepted."""

    id: str


@runtime_checkable
class Analytics(Protocol):
    """A provider that records one event per key."""

    def track(self, event: AnalyticsEvent, *, key: str, deadline: datetime) -> Done[TrackedEvent]:
        """Record the event under `key`. Repeated calls with this key record nothing more."""
        ...
