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

# SQL for the current time, a time some seconds ahead, the rank of a due row, and how a claim skips locked rows.
POSTGRESQL = {
    "now": "(statement_timestamp(){ahead})",
    "after": "(statement_timestamp(){ahead} + make_interval(secs => %s))",
    "rank": "(statement_timestamp(){ahead} + make_interval(secs => %s - priority * %s))",
    "skip": "FOR UPDATE SKIP LOCKED",
    "ahead": " + make_interval(secs => {seconds})",
}
# In the format of Django (microseconds unless they are 0), because SQLite compares times as text.
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

    def sql(self, vendor: str) -> dict[str, str]:
        """Return the SQL of these times, with parameter placeholders."""
        templates = POSTGRESQL if vendor == "postgresql" else SQLITE
        ahead = templates["ahead"].format(seconds=f"{self.ahead:.3f}") if self.ahead else ""
        return {name: template.replace("{ahead}", ahead) for name, template in templates.items()}


CLOCK = Clock()
