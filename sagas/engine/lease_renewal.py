"""Two threads in each process: the heartbeat renews leases, and the watchdog enforces deadlines.

A third thread writes a stuck attempt, because waiting for the database must not delay renewals or deadlines.
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
    """What the heartbeat needs of a leased execution. `renewed` is the monotonic time of its last renewal."""

    renewed: float

    @property
    def fence(self) -> tuple[int, int]:
        """The row's id, and the version at which its owner holds it."""


class Watch(Generic[T]):
    """A set of items that a thread checks every TICK seconds. The thread sleeps while the set is empty.

    `check` gets all items of the set.
    """

    def __init__(self, name: str, check: Callable[[list[T]], None]) -> None:
        self._name, self._check = name, check
        self.reset()

    def reset(self) -> None:
        """Empty the set and forget the thread. A forked child calls this, because the thread does not exist there."""
        self._items: set[T] = set()
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, item: T) -> None:
        """Start to check this item. Starts the thread if it does not run."""
        with self._lock:
            # Start the thread first: if the system cannot start one, the item must not stay in the set.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._items.add(item)
        if not self._busy.is_set():
            self._busy.set()

    def discard(self, item: T) -> None:
        """Stop checking this item. Does nothing if the item is not in the set."""
        with self._lock:
            self._items.discard(item)

    def _run(self) -> None:
        while True:
            self._busy.wait()
            with self._lock:
                items = list(self._items)
                if not items:
                    self._busy.clear()
            if not items:
                connections.close_all()
            else:
                try:
                    self._check(items)
                except Exception as error:  # noqa: BLE001  (no other thread renews leases or enforces deadlines)
                    log(logging.ERROR, "watch.failed", watch=self._name, error_type=type(error).__name__)
                    connections.close_all()
                    time.sleep(min(PAUSE_AFTER_ERROR, get_settings().beat))
            # Sleep even if the set was empty: most steps end quickly, and each would wake this thread needlessly.
            time.sleep(TICK)


def _renew(leases: list[Leased]) -> None:
    now, beat = time.monotonic(), get_settings().beat
    # The key includes the version: a process that lost a lease and claimed the row again has two leases here.
    by_fence = {lease.fence: lease for lease in leases if now >= lease.renewed + beat}
    if not by_fence:
        return
    sent = time.monotonic()
    for fence in storage.renew(list(by_fence), lease=get_settings().LEASE):
        by_fence[fence].renewed = sent


def _enforce(deadlines: list[Deadline]) -> None:
    now = time.monotonic()
    for deadline in deadlines:
        if now >= deadline.ends:
            deadline.expire()
        if now >= deadline.stuck_at and not deadline.given_up:
            threading.Thread(target=_give_up, args=[deadline], name="sagas-stuck", daemon=True).start()


def _give_up(deadline: Deadline) -> None:
    try:
        deadline.give_up()
    except Exception as error:  # noqa: BLE001  (the lease runs out, and its next owner writes the attempt)
        log(logging.ERROR, "attempt.not_recorded", error_type=type(error).__name__)
    finally:
        connections.close_all()


HEARTBEAT: Watch[Leased] = Watch("sagas-heartbeat", _renew)
WATCHDOG: Watch[Deadline] = Watch("sagas-watchdog", _enforce)
os.register_at_fork(after_in_child=HEARTBEAT.reset)
os.register_at_fork(after_in_child=WATCHDOG.reset)
