"""The calendar port: the calendar that contains the bookings."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from integrations import Done, Undone


@dataclass(frozen=True)
class EventRequest:
    """An event to add. Its times must have a time zone."""

    summary: str
    starts_at: datetime
    ends_at: datetime
    description: str = ""
    attendees: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """An event in the calendar. Its id is derived from the key that `add` received."""

    id: str
    url: str


@runtime_checkable
class Calendar(Protocol):
    """A calendar in which we choose the event ids. The id of a removed event cannot be used again."""

    def add(self, event: EventRequest, *, key: str, deadline: datetime) -> Done[Event]:
        """Add the event under `key`, once. Raise RetiredKey if it was removed."""
        ...

    def get(self, *, key: str, deadline: datetime) -> Done[Event] | None:
        """Return the event added under `key`, or None if the calendar has no such event."""
        ...

    def remove(self, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime) -> Undone:
        """Remove the event added under `action_key`, and prevent a delayed request from adding it later."""
        ...
