"""Choose the faults of calls from the seed, the request, and how often the request was repeated."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from tests.chaos.limits import LEASE, TIMEOUT

from .ledger import NEVER_TWICE, REFUSABLE, Request

NONE = "calls without a fault"
UNAVAILABLE = "503, nothing done"
ERROR = "500 after the effect"
LOST_REPLY = "reply lost after the effect"
LOST_REQUEST = "connection cut, delivered later"
REFUSED = "refused"
TWICE = "delivered twice"
SLOW = "answered after the lease"
LATE = "done after the deadline"

WEIGHTS = {UNAVAILABLE: 2, ERROR: 2, LOST_REPLY: 2, LOST_REQUEST: 2, REFUSED: 1, TWICE: 2, SLOW: 1, LATE: 1}
# A delay until the end of the soak.
TO_THE_END = 1e9
LONGEST_DELAY = 15.0
QUICK = (0.02, 0.12)
# The worst case: the provider refuses a repeated call, and the first call, which is delayed, succeeds later.
REFUSED_AFTER_DOUBT = 0.5


@dataclass(frozen=True)
class Fate:
    """The fault of a call; `delay` is the time in seconds until the reply or until the late delivery."""

    kind: str
    delay: float


class Dice:
    """Chooses random faults; `rate` is the fraction of the calls that get one."""

    def __init__(self, seed: str, rate: float) -> None:
        self.seed, self.rate = seed, rate
        self._seen: Counter[tuple[str, str]] = Counter()
        self._delayed: set[tuple[str, str]] = set()

    def throw(self, request: Request, remaining: float) -> Fate:
        """Return the fate of this call; its caller waits for `remaining` seconds."""
        called = request.asks, request.key
        self._seen[called] += 1
        rng = random.Random(f"{self.seed}:{called}:{self._seen[called]}")
        kind = NONE
        if rng.random() < self.rate:
            kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        elif called in self._delayed and rng.random() < REFUSED_AFTER_DOUBT and self.rate:
            kind = REFUSED
        kind = _fitting(kind, request)
        if kind in (LOST_REQUEST, LATE):
            self._delayed.add(called)
        return Fate(kind, _delay(kind, remaining, rng))


def _delay(kind: str, remaining: float, rng: random.Random) -> float:
    if kind == SLOW:
        return rng.uniform(LEASE, max(LEASE, remaining))
    if kind == LATE:
        return remaining + rng.uniform(0.1, 0.8) * TIMEOUT
    if kind in (TWICE, LOST_REQUEST):
        return rng.choice([rng.uniform(0, 1), rng.uniform(1, LONGEST_DELAY), TO_THE_END])
    return rng.uniform(*QUICK)


def _fitting(kind: str, request: Request) -> str:
    """Replace a fault that does not fit the call: only actions are refused, and a letter is not delivered twice."""
    if kind == REFUSED and (request.asks not in REFUSABLE or request.key.endswith(":undo")):
        return UNAVAILABLE
    if kind == TWICE and request.asks in NEVER_TWICE:
        return LOST_REPLY
    return kind
