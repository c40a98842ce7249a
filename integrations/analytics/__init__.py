"""Port: analytics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from integrations.results import Done


@dataclass(frozen=True)
class AnalyticsEvent:
    """Something worth counting; `subject` is whom it is about, `properties` are JSON."""

    name: str
    subject: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedEvent:
    """An event that the provider has taken."""

    id: str


@runtime_checkable
class Analytics(Protocol):
    """Counts events, each key once."""

    def track(self, event: AnalyticsEvent, *, key: str, deadline: datetime) -> Done[TrackedEvent]:
        """Record the event under `key`, once, however often it is called."""
        ...
