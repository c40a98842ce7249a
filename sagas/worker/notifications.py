"""How the pusher learns that something has been committed: LISTEN on PostgreSQL, `data_version` on SQLite."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.conf import get_settings
from sagas.engine.logs import log
from sagas.storage import CHANNEL

GLANCE = 0.01
TRY_AGAIN = 30.0
LONGEST_CONNECT = 2  # seconds, the least that libpq takes


class Changes(Protocol):
    """Tells when the database may have changed since it was last noted."""

    def note(self) -> None:
        """What happens from now on is a change; to be called before looking."""

    def wait(self, seconds: float) -> bool:
        """Return True as soon as there is a change, False after so many seconds."""


def changes_of(here: BaseDatabaseWrapper) -> Changes:
    """The way of the database that the executions are in."""
    return Notified(here) if here.vendor == "postgresql" else Counted(here)


class Counted:
    """SQLite counts the commits of other connections."""

    def __init__(self, here: BaseDatabaseWrapper) -> None:
        self._here = here
        self._seen = self._version()

    def note(self) -> None:
        """See `Changes`."""
        self._seen = self._version()

    def wait(self, seconds: float) -> bool:
        """See `Changes`."""
        stop_at = time.monotonic() + seconds
        while self._version() == self._seen:
            left = stop_at - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(GLANCE, left))
        return True

    def _version(self) -> int:
        with self._here.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            version: int = cursor.fetchone()[0]
        return version


class Notified:
    """PostgreSQL tells whoever listens; without a connection of its own, or where it breaks, the poll has to do."""

    def __init__(self, here: BaseDatabaseWrapper) -> None:
        self._here = here
        self._listening: Any = None
        self._try_at = 0.0

    def note(self) -> None:
        """See `Changes`; notifications that came before are drained."""
        if self._listening is None and get_settings().NOTIFY:
            self._listen()
        self._take(0)

    def wait(self, seconds: float) -> bool:
        """See `Changes`."""
        if self._listening is None:
            time.sleep(seconds)
            return False
        return self._take(seconds)

    def _listen(self) -> None:
        import psycopg

        if time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + TRY_AGAIN
        try:
            self._listening = psycopg.connect(**self._parameters(), autocommit=True, connect_timeout=LONGEST_CONNECT)
            self._listening.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            log(logging.WARNING, "listen.failed", error_type=type(error).__name__)
            self._close()

    def _parameters(self) -> dict[str, Any]:
        dsn = get_settings().LISTEN_DSN
        if dsn:
            return {"conninfo": dsn}
        ours = {"cursor_factory", "context", "prepare_threshold", "row_factory", "connect_timeout"}
        given = self._here.get_connection_params()
        return {key: value for key, value in given.items() if key not in ours}

    def _take(self, seconds: float) -> bool:
        if self._listening is None:
            return False
        import psycopg

        try:
            return any(True for _ in self._listening.notifies(timeout=seconds, stop_after=1))
        except psycopg.Error as error:
            log(logging.WARNING, "listen.failed", error_type=type(error).__name__)
            self._close()
            return True

    def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
