"""Which calls go wrong, and how: by the seed, the request and how often it came, whoever sends it and when."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from tests.chaos.limits import LEASE, TIMEOUT

from .ledger import NEVER_TWICE, REFUSABLE, Request

NONE = "calls that were answered well"
UNAVAILABLE = "503, nothing done"
ERROR = "500 after the effect"
LOST_REPLY = "reply lost after the effect"
LOST_REQUEST = "connection cut, delivered later"
REFUSED = "refused"
TWICE = "delivered twice"
SLOW = "answered past the lease"
LATE = "done past the deadline"

WEIGHTS = {UNAVAILABLE: 2, ERROR: 2, LOST_REPLY: 2, LOST_REQUEST: 2, REFUSED: 1, TWICE: 2, SLOW: 1, LATE: 1}
# Until the provider is told that all has ended.
TO_THE_END = 1e9
LONGEST_ON_ITS_WAY = 15.0
QUICK = (0.02, 0.12)
# The worst that a provider can do: it refuses what it will then be asked for by a request that got lost on its way.
REFUSED_AFTER_DOUBT = 0.5


@dataclass(frozen=True)
class Fate:
    """What happens to a call; `delay` is in seconds: before it is answered, or until the delivery that comes late."""

    kind: str
    delay: float


class Dice:
    """`rate` of the calls have another fate than a quick answer."""

    def __init__(self, seed: str, rate: float) -> None:
        self.seed, self.rate = seed, rate
        self._seen: Counter[tuple[str, str]] = Counter()
        self._on_its_way: set[tuple[str, str]] = set()

    def throw(self, request: Request, remaining: float) -> Fate:
        """The fate of this call, whose caller waits for so many seconds."""
        called = request.asks, request.key
        self._seen[called] += 1
        luck = random.Random(f"{self.seed}:{called}:{self._seen[called]}")
        kind = NONE
        if luck.random() < self.rate:
            kind = luck.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        elif called in self._on_its_way and luck.random() < REFUSED_AFTER_DOUBT and self.rate:
            kind = REFUSED
        kind = _fitting(kind, request)
        if kind in (LOST_REQUEST, LATE):
            self._on_its_way.add(called)
        return Fate(kind, _delay(kind, remaining, luck))


def _delay(kind: str, remaining: float, luck: random.Random) -> float:
    if kind == SLOW:
        return luck.uniform(LEASE, max(LEASE, remaining))
    if kind == LATE:
        return remaining + luck.uniform(0.1, 0.8) * TIMEOUT
    if kind in (TWICE, LOST_REQUEST):
        return luck.choice([luck.uniform(0, 1), luck.uniform(1, LONGEST_ON_ITS_WAY), TO_THE_END])
    return luck.uniform(*QUICK)


def _fitting(kind: str, request: Request) -> str:
    """What may be refused are first requests of an action; letters must not multiply on their way."""
    if kind == REFUSED and (request.asks not in REFUSABLE or request.key.endswith(":undo")):
        return UNAVAILABLE
    if kind == TWICE and request.asks in NEVER_TWICE:
        return LOST_REPLY
    return kind
