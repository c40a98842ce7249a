"""Temporary databases for a proof, created beside the real ones."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections
from django.test.utils import setup_databases, teardown_databases


@contextmanager
def temporary_databases() -> Iterator[Path]:
    """Point every alias to an empty, migrated database of this process; yield a folder that is deleted with them."""
    with tempfile.TemporaryDirectory(prefix="saga-prove-") as folder:
        for alias in connections:
            _set_test_name(connections[alias].settings_dict, alias, Path(folder))
        created = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
        try:
            yield Path(folder)
        finally:
            connections.close_all()
            teardown_databases(created, verbosity=0)


def _set_test_name(settings: dict[str, Any], alias: str, folder: Path) -> None:
    """Name the test database so that aliases of one database still share one.

    SQLite's default test database is in memory, which does not survive a fork, so it becomes a file.
    """
    if settings["TEST"].get("MIRROR"):
        return
    if settings["ENGINE"].endswith("sqlite3"):
        settings["TEST"]["NAME"] = str(folder / f"{alias}.sqlite3")
    else:
        settings["TEST"]["NAME"] = f"saga_prove_{os.getpid()}_{zlib.crc32(settings['NAME'].encode()):08x}"
