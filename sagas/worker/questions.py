"""Asks the database again and again, in a thread of its own: whoever has to act must not hang with a connection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import Error as DatabaseError
from django.db import connections

from sagas.engine.logs import log
from sagas.storage import database

ASK_EVERY = 0.5
FRESH = 3.0
HANGS = 30.0
MOST_THREADS = 3


class Question:
    """A question of yes or no; `answer` is the last one, None while the database does not answer."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._answer: bool | None = None
        self._at = self._begun = time.monotonic()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def answer(self) -> bool | None:
        """What the database said within the last few seconds."""
        self._keep_asking()
        return self._answer if time.monotonic() < self._at + FRESH else None

    def end(self) -> None:
        """Ask no more."""
        self._over.set()

    def _keep_asking(self) -> None:
        """A connection to a server that is gone may hang for many minutes; then another thread asks on a new one."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        hangs = time.monotonic() > max(self._at, self._begun) + HANGS
        if not self._threads or (hangs and len(self._threads) < MOST_THREADS):
            self._begun = time.monotonic()
            self._threads.append(threading.Thread(target=self._run, name="sagas-question", daemon=True))
            self._threads[-1].start()

    def _run(self) -> None:
        me = threading.current_thread()
        while not self._over.is_set() and self._threads[-1] is me:
            self._answer = self._asked()
            self._at = time.monotonic()
            self._over.wait(ASK_EVERY)
        connections.close_all()

    def _asked(self) -> bool | None:
        try:
            return self._ask()
        except DatabaseError as error:
            log(logging.WARNING, "supervisor.blind", error_type=type(error).__name__)
            connections[database.alias()].close()
            return None
