"""Time-ordered ids."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import time
import uuid


def time_ordered_uuid() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562): later ids sort after earlier ones, so an index grows at its end."""
    millis = time.time_ns() // 1_000_000
    high, low = _random.getrandbits(12), _random.getrandbits(62)
    return uuid.UUID(int=(millis << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


def first_uuid_at(moment: dt.datetime) -> uuid.UUID:
    """Return the least id of that moment: rows since then are a range of the primary key."""
    return uuid.UUID(int=math.floor(moment.timestamp() * 1000) << 80)


# A separate generator, because tests may seed the global one. It is seeded once, because os.urandom for each id would
# cost more than the rest of the id.
_random = random.Random()  # noqa: S311  (ids must be unique, not secret)
os.register_at_fork(after_in_child=_random.seed)
