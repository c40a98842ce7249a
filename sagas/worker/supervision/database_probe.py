"""Ask the database a yes-or-no question repeatedly, in a thread, so that the caller never blocks."""

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
VALID_FOR = 3.0
HANGS_AFTER = 30.0
MAX_THREADS = 3


class DatabaseProbe:
    """Calls `question` repeatedly. `answer` is None while the database does not respond."""

    def __init__(self, question: Callable[[], bool]) -> None:
        self._question = question
        self._answer: bool | None = None
        self._answered_at = self._thread_started_at = time.monotonic()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def answer(self) -> bool | None:
        """The last answer, or None if it is older than VALID_FOR seconds or the database failed."""
        self._ensure_thread()
        return self._answer if time.monotonic() < self._answered_at + VALID_FOR else None

    def stop(self) -> None:
        """End the thread after its current question."""
        self._stopped.set()

    def _ensure_thread(self) -> None:
        """Start a thread if none runs or the newest one hangs. A lost connection may block a thread for minutes."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        hangs = time.monotonic() > max(self._answered_at, self._thread_started_at) + HANGS_AFTER
        if not self._threads or (hangs and len(self._threads) < MAX_THREADS):
            self._thread_started_at = time.monotonic()
            self._threads.append(threading.Thread(target=self._run, name="sagas-probe", daemon=True))
            self._threads[-1].start()

    def _run(self) -> None:
        me = threading.current_thread()
        while not self._stopped.is_set() and self._threads[-1] is me:
            try:
                self._answer = self._question()
            except DatabaseError as error:
                log(logging.WARNING, "database.unreachable", error_type=type(error).__name__)
                connections[database.alias()].close()
                self._answer = None
            self._answered_at = time.monotonic()
            self._stopped.wait(ASK_EVERY)
        connections.close_all()
