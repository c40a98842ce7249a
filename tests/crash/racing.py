"""Two threads that race for one execution, round after round, each with a connection of its own."""

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

# SAGAS_RACES=1000 for the whole proof.
ROUNDS = int(os.environ.get("SAGAS_RACES", "150"))
PATIENCE = 30.0
HANDICAP = 0.0005
# So many rounds in a row for one side, and the handicap doubles each time: a busy machine is slower by far.
STREAK, MOST_DOUBLINGS = 4, 9
LONGEST_LEAD = 0.25


class Race:
    """Lets two sides go at once and counts who comes first.

    Whoever came first goes a little later the next time, and both go after a random moment of up to `spread`
    seconds: so the rounds gather where it is decided, whatever the machine is doing.
    """

    def __init__(self, *sides: str, spread: float = 0.002) -> None:
        self.sides, self.spread = sides, spread
        self._gate = threading.Barrier(len(sides))
        self._threads = {side: ThreadPoolExecutor(1) for side in sides}
        self._lead, self._streak, self._latest = 0.0, 0, ""

    def run(self, play: Callable[[str], str]) -> None:
        """Play the rounds, each with an id of its own; `play` checks one and tells which side came first."""
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
        """What each side's function returned; an act that was refused gives its ActRefused."""
        pairs = zip(self.sides, functions, strict=True)
        futures = [self._threads[side].submit(_done_or_refused, function) for side, function in pairs]
        # The error of one side, not that the other has waited in vain.
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]

    def go(self, side: str) -> None:
        """Called by each side where its part begins: waits for the other one."""
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
