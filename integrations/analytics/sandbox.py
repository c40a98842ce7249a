"""The analytics sandbox. It stores one row per key."""

from datetime import datetime

from integrations import Done, ledger
from integrations.analytics import AnalyticsEvent, TrackedEvent
from integrations.models import EffectState
from integrations.sandbox import Sandbox


class SandboxAnalytics(Sandbox):
    """An analytics provider that stores events in the sandbox database."""

    port = "analytics"

    def track(self, event: AnalyticsEvent, *, key: str, deadline: datetime) -> Done[TrackedEvent]:
        """Record the event under `key`. Repeated calls with this key record nothing more."""
        with self.call("track", key=key, deadline=deadline, request=event):
            tracked, replayed = ledger.record(
                self.port, "track", key, event, state=EffectState.DONE, external_id=ledger.short_id(key)
            )
        return Done(TrackedEvent(tracked.external_id), replayed)
