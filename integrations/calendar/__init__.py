"""Port: the calendar that bookings are kept in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from integrations.results import Done, Undone


@dataclass(frozen=True)
class EventRequest:
    """An appointment; the moments are aware."""

    summary: str
    starts_at: datetime
    ends_at: datetime
    description: str = ""
    attendees: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """An event that stands in the calendar; its id follows from the key it was added under."""

    id: str
    url: str


@runtime_checkable
class Calendar(Protocol):
    """Keeps events whose ids we choose, so that an id once removed stays used up."""

    def add(self, event: EventRequest, *, key: str, deadline: datetime) -> Done[Event]:
        """Add the event under `key`, once; refused with DeadKey if it was removed."""
        ...

    def get(self, *, key: str, deadline: datetime) -> Done[Event] | None:
        """The event added under `key`; None if it does not stand in the calendar."""
        ...

    def remove(self, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime) -> Undone:
        """Remove the event of `action_key`, and rule out that it is added later."""
        ...
