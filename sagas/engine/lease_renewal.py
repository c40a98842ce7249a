"""Two threads a process: one renews the leases of what runs here, the other watches the deadlines of its attempts.

They are two, and what is stuck is recorded in a third, because whoever waits for a database must not keep the
others from their work.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from django.db import connections

from sagas import storage
from sagas.conf import get_settings

from .deadline import Deadline
from .logs import log

T = TypeVar("T")

TICK = 0.1
PAUSE_AFTER_ERROR = 1.0


class Leased(Protocol):
    """What the heartbeat needs to know of an execution in hand; `renewed` is when its renewal was sent."""

    renewed: float

    @property
    def fence(self) -> tuple[int, int]:
        """The row's id and the version it is held at."""


class Watch(Generic[T]):
    """A set of things that a thread of its own looks at again and again; it rests while there are none."""

    def __init__(self, name: str, look: Callable[[list[T]], None]) -> None:
        self._name, self._look = name, look
        self.reset()

    def reset(self) -> None:
        """Forget everything: the state of a forked child, in which no thread has survived."""
        self._things: set[T] = set()
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, thing: T) -> None:
        """Look at this from now on."""
        with self._lock:
            # The thread first: where the system has no more, nobody is to take the thing up later.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._things.add(thing)
        if not self._busy.is_set():
            self._busy.set()

    def discard(self, thing: T) -> None:
        """Look at it no more."""
        with self._lock:
            self._things.discard(thing)

    def _run(self) -> None:
        while True:
            self._busy.wait()
            with self._lock:
                things = list(self._things)
                if not things:
                    self._busy.clear()
            if things:
                self._look_safely(things)
            else:
                connections.close_all()
            # Also when there is nothing: most steps are over at once, and each would wake this thread for nothing.
            time.sleep(TICK)

    def _look_safely(self, things: list[T]) -> None:
        """The thread outlives whatever goes wrong in it: nobody else would renew or ring."""
        try:
            self._look(things)
        except Exception as error:  # noqa: BLE001  (see above)
            log(logging.ERROR, "watch.failed", watch=self._name, error_type=type(error).__name__)
            connections.close_all()
            time.sleep(min(PAUSE_AFTER_ERROR, get_settings().beat))


def _renew(leases: list[Leased]) -> None:
    now, beat = time.monotonic(), get_settings().beat
    # By the version too: who has lost a row may still be here, beside who has it now.
    by_fence = {lease.fence: lease for lease in leases if now >= lease.renewed + beat}
    if not by_fence:
        return
    sent = time.monotonic()
    for fence in storage.renew(list(by_fence), lease=get_settings().LEASE):
        by_fence[fence].renewed = sent


def _ring(deadlines: list[Deadline]) -> None:
    now = time.monotonic()
    for deadline in deadlines:
        if now >= deadline.ends:
            deadline.ring()
        if now >= deadline.stuck_at and not deadline.given_up:
            threading.Thread(target=_give_up, args=[deadline], name="sagas-stuck", daemon=True).start()


def _give_up(deadline: Deadline) -> None:
    try:
        deadline.give_up()
    except Exception as error:  # noqa: BLE001  (the lease runs out, and the next owner puts the attempt down)
        log(logging.ERROR, "attempt.not_recorded", error_type=type(error).__name__)
    finally:
        connections.close_all()


HEARTBEAT: Watch[Leased] = Watch("sagas-heartbeat", _renew)
WATCHDOG: Watch[Deadline] = Watch("sagas-watchdog", _ring)
os.register_at_fork(after_in_child=HEARTBEAT.reset)
os.register_at_fork(after_in_child=WATCHDOG.reset)
