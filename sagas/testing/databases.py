"""Create temporary databases for a proof, next to the real databases."""

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
    """Create an empty, migrated database for every alias, and yield a temporary folder. Delete all at the end."""
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
    """Name the test database of an alias. Two aliases of the same database get the same test database.

    The test database of SQLite becomes a file: by default it is in memory, and does not survive a fork.
    """
    if settings["TEST"].get("MIRROR"):
        return
    if settings["ENGINE"].endswith("sqlite3"):
        settings["TEST"]["NAME"] = str(folder / f"{alias}.sqlite3")
    else:
        settings["TEST"]["NAME"] = f"saga_prove_{os.getpid()}_{zlib.crc32(settings['NAME'].encode()):08x}"
