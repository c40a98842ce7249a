"""Race two threads for one execution, in many rounds. Each thread has its own database connection."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from django.db import connections

from sagas import ActRefused

# For the complete proof, set SAGAS_RACES=1000.
ROUNDS = int(os.environ.get("SAGAS_RACES", "150"))
PATIENCE = 30.0
HANDICAP = 0.0005
# After STREAK wins in a row by one side, its handicap doubles. A busy machine needs the larger handicaps.
STREAK, MOST_DOUBLINGS = 4, 9
LONGEST_LEAD = 0.25


class Race:
    """Start two sides at the same time and count which side comes first.

    The side that came first starts a little later in the next round. In addition, each side waits for a random time of
    up to `spread` seconds. Both sides therefore meet near the decisive moment, on a fast and on a slow machine.
    """

    def __init__(self, *sides: str, spread: float = 0.002) -> None:
        self.sides, self.spread = sides, spread
        self._gate = threading.Barrier(len(sides))
        self._threads = {side: ThreadPoolExecutor(1) for side in sides}
        self._lead, self._streak, self._latest = 0.0, 0, ""

    def run(self, play: Callable[[str], str]) -> None:
        """Play the rounds, each with its own id. `play` checks one round and returns the side that came first."""
        firsts: Counter[str] = Counter()
        try:
            for number in range(ROUNDS):
                self._draw()
                first = play(f"race-{number}")
                firsts[first] += 1
                self._handicap(first)
        finally:
            self._leave()
        print(f"{ROUNDS} rounds: " + ", ".join(f"the {side} came first in {firsts[side]}" for side in self.sides))
        for side in self.sides:
            assert firsts[side], f"In {ROUNDS} rounds the {side} never came first: they did not race."

    def between(self, *functions: Callable[[], Any]) -> list[Any]:
        """Run one function per side at the same time and return the results; a refusal is an ActRefused."""
        pairs = zip(self.sides, functions, strict=True)
        futures = [self._threads[side].submit(_done_or_refused, function) for side, function in pairs]
        # Report the error of the failed side, not the timeout of the side that waits for it.
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]

    def go(self, side: str) -> None:
        """Wait for the other side. Each side calls this method at the start of its part."""
        self._gate.wait(PATIENCE)
        time.sleep(self._delays[side])

    def _draw(self) -> None:
        first, second = self.sides
        leads = {first: max(0.0, self._lead), second: max(0.0, -self._lead)}
        self._delays = {side: lead + random.uniform(0.0, self.spread) for side, lead in leads.items()}

    def _handicap(self, first: str) -> None:
        self._streak = self._streak + 1 if first == self._latest else 1
        self._latest = first
        handicap = HANDICAP * 2 ** max(0, min(self._streak - STREAK, MOST_DOUBLINGS))
        lead = self._lead + (handicap if first == self.sides[0] else -handicap)
        self._lead = max(-LONGEST_LEAD, min(lead, LONGEST_LEAD))

    def _leave(self) -> None:
        self._gate.abort()
        for thread in self._threads.values():
            thread.submit(connections.close_all)
            thread.shutdown()


def _done_or_refused(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except ActRefused as refusal:
        return refusal
