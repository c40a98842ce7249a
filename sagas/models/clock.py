"""The clock of sagas: the time of the database. Tests can move it forward.

Deadlines and lease renewals use the monotonic clock of the process instead.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class Clock:
    """A clock that is `ahead` seconds ahead of real time. With `jumps`, `wait` moves the clock and does not sleep."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.jumps = False

    def now(self) -> Any:
        """Return the database's time as an ORM expression."""
        now = Now(output_field=models.DateTimeField())
        return now + dt.timedelta(seconds=self.ahead) if self.ahead else now

    def by_host(self) -> dt.datetime:
        """Return the time of this host, aware, in UTC. Do not compare it with times of other hosts."""
        return timezone.now() + dt.timedelta(seconds=self.ahead)

    def elapsed(self) -> float:
        """Return the seconds of a monotonic clock. Use only differences between two calls."""
        return time.monotonic() + self.ahead

    def wait(self, seconds: float, *, look_every: float) -> None:
        """Sleep for `seconds`, but at most `look_every`, so that the caller can check for changes in between."""
        if self.jumps:
            self.ahead += seconds
        else:
            time.sleep(min(seconds, look_every))


CLOCK = Clock()
