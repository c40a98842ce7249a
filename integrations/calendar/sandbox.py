"""The calendar sandbox. `remove` makes an id unusable, even if no event with this id was ever added."""

from datetime import datetime

from integrations import Done, Undone, ledger
from integrations.calendar import Event, EventRequest
from integrations.exceptions import CompensationRefused, RetiredKey
from integrations.models import EffectState, SandboxEffect
from integrations.sandbox import Sandbox

ADDRESS = "https://calendar.example/event"
NEVER_ADDED: dict[str, str] = {}


class SandboxCalendar(Sandbox):
    """A calendar that stores events in the sandbox database."""

    port = "calendar"

    def add(self, event: EventRequest, *, key: str, deadline: datetime) -> Done[Event]:
        """Add the event under `key`, once. Raise RetiredKey if it was removed."""
        with self.call("add", key=key, deadline=deadline, request=event):
            added, created = ledger.ensure(
                self.port, "add", key, event, state=EffectState.CONFIRMED, external_id=event_id(key)
            )
            if added.state == EffectState.CANCELED:
                raise RetiredKey("410", "The calendar event")
            if not created:
                ledger.check_replay(added, event)
        return Done(_event(added), replayed=not created)

    def get(self, *, key: str, deadline: datetime) -> Done[Event] | None:
        """Return the event added under `key`, or None."""
        with self.call("get", key=key, deadline=deadline, request={}):
            added = ledger.find(self.port, "add", key)
        confirmed = added is not None and added.state == EffectState.CONFIRMED
        return Done(_event(added), replayed=True) if added and confirmed else None

    def remove(self, *, key: str, action_key: str, external_id: str | None = None, deadline: datetime) -> Undone:
        """Remove the event. If it was never added, make its id unusable."""
        identity = event_id(action_key)
        with (
            self.call(
                "remove", key=key, deadline=deadline, request={"action_key": action_key}, refused_with=_not_possible
            ),
            ledger.atomic(),
        ):
            added, tombstone = ledger.ensure(
                self.port, "add", action_key, NEVER_ADDED, state=EffectState.CANCELED, external_id=identity
            )
            removed = ledger.move(added, EffectState.CANCELED, of=[EffectState.CONFIRMED])
            ledger.record(
                self.port,
                "remove",
                key,
                {"action_key": action_key},
                state=EffectState.DONE,
                external_id=identity,
            )
        never_added = added.request == NEVER_ADDED
        return Undone(already=not removed and not tombstone, nothing_to_undo=never_added, external_id=identity)


def event_id(key: str) -> str:
    """Return the id of the event added under `key`. It has only the letters a to v and digits, as calendars require."""
    return ledger.short_id(key)


def _event(added: SandboxEffect) -> Event:
    return Event(added.external_id, f"{ADDRESS}/{added.external_id}")


def _not_possible() -> CompensationRefused:
    return CompensationRefused(
        "403", "The calendar does not let us remove the event", "Remove it there by hand.", ADDRESS
    )
