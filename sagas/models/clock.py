"""The clock of sagas: the database's time, which tests can turn forward.

Deadlines and lease renewal use the monotonic clock of the process instead.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class Clock:
    """The clock. `ahead` is how many seconds it is ahead of real time; with `jumps`, waiting only turns it forward."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.jumps = False

    def now(self) -> Any:
        """Return the database's time as an ORM expression."""
        now = Now(output_field=models.DateTimeField())
        return now + dt.timedelta(seconds=self.ahead) if self.ahead else now

    def by_host(self) -> dt.datetime:
        """Return the time of this host's clock, aware, in UTC; not to be compared with other hosts."""
        return timezone.now() + dt.timedelta(seconds=self.ahead)

    def elapsed(self) -> float:
        """Return monotonic seconds, for differences."""
        return time.monotonic() + self.ahead

    def wait(self, seconds: float, *, look_every: float) -> None:
        """Wait this long, but at most `look_every` seconds at once."""
        if self.jumps:
            self.ahead += seconds
        else:
            time.sleep(min(seconds, look_every))


CLOCK = Clock()
