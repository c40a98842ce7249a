"""The time that sagas go by: the database's, carried on by the monotonic clock. Tests may turn it forward.

Deadlines and leases are not this clock's: they measure how long this process takes.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

# In the order of their use: now, a number of seconds from now, and how a claim passes over what another is taking.
POSTGRESQL = {
    "now": "(statement_timestamp(){ahead})",
    "after": "(statement_timestamp(){ahead} + make_interval(secs => %s))",
    "rank": "(statement_timestamp(){ahead} + make_interval(secs => %s - priority * %s))",
    "skip": "FOR UPDATE SKIP LOCKED",
    "ahead": " + make_interval(secs => {seconds})",
}
# As Django writes moments, with microseconds unless they are 0: SQLite compares their texts.
SQLITE = {
    "now": "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead}) || '000', '.000000', '')",
    "after": "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead}, %s || ' seconds') || '000', '.000000', '')",
    "rank": (
        "replace(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{ahead}, (%s - priority * %s) || ' seconds') || '000',"
        " '.000000', '')"
    ),
    "skip": "",
    "ahead": ", '+{seconds} seconds'",
}


class Clock:
    """How far ahead of the real time it is, in seconds, and whether waiting for it only turns it forward."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.jumps = False

    def now(self) -> Any:
        """The database's time, as an expression of the ORM."""
        now = Now(output_field=models.DateTimeField())
        return now + dt.timedelta(seconds=self.ahead) if self.ahead else now

    def by_host(self) -> dt.datetime:
        """The time by this host's clock, aware, UTC; for what no other host compares with its own."""
        return timezone.now() + dt.timedelta(seconds=self.ahead)

    def elapsed(self) -> float:
        """Seconds since some moment in the past, for differences."""
        return time.monotonic() + self.ahead

    def wait(self, seconds: float, *, look_every: float) -> None:
        """Wait so long, or until it is time to look whether something has changed."""
        if self.jumps:
            self.ahead += seconds
        else:
            time.sleep(min(seconds, look_every))

    def sql(self, vendor: str) -> dict[str, str]:
        """The same times as SQL, with their parameters' places."""
        words = POSTGRESQL if vendor == "postgresql" else SQLITE
        ahead = words["ahead"].format(seconds=f"{self.ahead:.3f}") if self.ahead else ""
        return {name: word.replace("{ahead}", ahead) for name, word in words.items()}


CLOCK = Clock()
