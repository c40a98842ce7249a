"""Notify the pusher of commits: by LISTEN on PostgreSQL, by polling `data_version` on SQLite."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.conf import get_settings
from sagas.engine.logs import log
from sagas.storage import CHANNEL

POLL_SQLITE_EVERY = 0.01
RECONNECT_AFTER = 30.0
CONNECT_TIMEOUT = 2  # seconds; libpq's minimum


class Notifications(Protocol):
    """An object that detects that the database may have changed."""

    def reset(self) -> None:
        """Forget earlier changes. Call it before reading the database."""

    def wait(self, seconds: float) -> bool:
        """Return True at the first change since `reset`, or False after `seconds`."""


def notifications_of(connection: BaseDatabaseWrapper) -> Notifications:
    """Return the implementation for the connection's database."""
    if connection.vendor == "postgresql":
        return PostgreSQLNotifications(connection)
    return SQLiteNotifications(connection)


class SQLiteNotifications:
    """Detects commits of other connections by polling SQLite's `data_version`."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._seen = self._version()

    def reset(self) -> None:
        """Remember the current value of the counter."""
        self._seen = self._version()

    def wait(self, seconds: float) -> bool:
        """Return True when the counter changes, or False after `seconds`."""
        stop_at = time.monotonic() + seconds
        while self._version() == self._seen:
            left = stop_at - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_SQLITE_EVERY, left))
        return True

    def _version(self) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            version: int = cursor.fetchone()[0]
        return version


class PostgreSQLNotifications:
    """Listens on a separate connection. While that connection is missing, `wait` sleeps, so the pusher polls."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._listening: Any = None
        self._connect_at = 0.0

    def reset(self) -> None:
        """Connect if necessary, and drop earlier notifications."""
        if self._listening is None and get_settings().NOTIFY:
            self._listen()
        self._receive(0)

    def wait(self, seconds: float) -> bool:
        """Return True at a notification or when the connection is lost, or False after `seconds`."""
        if self._listening is None:
            time.sleep(seconds)
            return False
        return self._receive(seconds)

    def _listen(self) -> None:
        import psycopg

        if time.monotonic() < self._connect_at:
            return
        self._connect_at = time.monotonic() + RECONNECT_AFTER
        if dsn := get_settings().LISTEN_DSN:
            parameters: dict[str, Any] = {"conninfo": dsn}
        else:
            django_options = {"cursor_factory", "context", "prepare_threshold", "row_factory", "connect_timeout"}
            all_parameters = self._connection.get_connection_params()
            parameters = {key: value for key, value in all_parameters.items() if key not in django_options}
        try:
            self._listening = psycopg.connect(**parameters, autocommit=True, connect_timeout=CONNECT_TIMEOUT)
            self._listening.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            self._disconnect(error)

    def _receive(self, seconds: float) -> bool:
        if self._listening is None:
            return False
        import psycopg

        try:
            return any(True for _ in self._listening.notifies(timeout=seconds, stop_after=1))
        except psycopg.Error as error:
            self._disconnect(error)
            return True

    def _disconnect(self, error: Exception) -> None:
        log(logging.WARNING, "listen.failed", error_type=type(error).__name__)
        if self._listening is not None:
            self._listening.close()
            self._listening = None
