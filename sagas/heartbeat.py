"""One thread a process: it renews the leases of what runs here, and watches the deadlines of its attempts."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Protocol

from django.db import DatabaseError, InterfaceError, connections

from . import journal
from .conf import get_settings
from .logs import log
from .timeouts import Deadline

TICK = 0.1
PAUSE_AFTER_ERROR = 1.0


class Leased(Protocol):
    """What the heartbeat needs to know of an execution in hand; `renewed` is when its renewal was sent."""

    renewed: float

    @property
    def fence(self) -> tuple[int, int]:
        """The row's id and the version it is held at."""


class Heartbeat:
    """Renews and watches whatever was given to it; its thread starts with the first and rests when all is done."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the state of a forked child, in which no thread has survived."""
        self._leases: set[Leased] = set()
        self._deadlines: set[Deadline] = set()
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None
        self._rest_until = 0.0

    def keep(self, lease: Leased) -> None:
        """Renew this lease until it is dropped."""
        with self._lock:
            self._leases.add(lease)
        self._wake()

    def drop(self, lease: Leased) -> None:
        """Renew this lease no more."""
        with self._lock:
            self._leases.discard(lease)

    def watch(self, deadline: Deadline) -> None:
        """Ring and give up this deadline when its times have come."""
        with self._lock:
            self._deadlines.add(deadline)
        self._wake()

    def unwatch(self, deadline: Deadline) -> None:
        """The attempt is over."""
        with self._lock:
            self._deadlines.discard(deadline)

    def _wake(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="sagas-heartbeat", daemon=True)
                    self._thread.start()
        if not self._busy.is_set():
            self._busy.set()

    def _run(self) -> None:
        while True:
            self._busy.wait()
            with self._lock:
                leases, deadlines = list(self._leases), list(self._deadlines)
                if not leases and not deadlines:
                    self._busy.clear()
            if leases or deadlines:
                self._beat(leases, deadlines)
                time.sleep(TICK)
            else:
                connections.close_all()

    def _beat(self, leases: list[Leased], deadlines: list[Deadline]) -> None:
        now = time.monotonic()
        for deadline in deadlines:
            if now >= deadline.ends:
                deadline.ring()
        stuck = [deadline for deadline in deadlines if now >= deadline.stuck_at]
        try:
            for deadline in stuck:
                deadline.give_up()
            due = [lease for lease in leases if now >= lease.renewed + get_settings().beat]
            if due and now >= self._rest_until:
                self._renew(due)
        except (DatabaseError, InterfaceError) as error:
            log(logging.WARNING, "heartbeat.failed", error_type=type(error).__name__)
            connections.close_all()
            self._rest_until = now + min(PAUSE_AFTER_ERROR, get_settings().beat)

    def _renew(self, leases: list[Leased]) -> None:
        sent = time.monotonic()
        by_id = {lease.fence[0]: lease for lease in leases}
        renewed = journal.renew([lease.fence for lease in leases], lease=get_settings().LEASE)
        for pk in renewed:
            by_id[pk].renewed = sent


HEARTBEAT = Heartbeat()
os.register_at_fork(after_in_child=HEARTBEAT.reset)
