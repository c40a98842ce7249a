"""Databases for one proof: made beside the real ones, migrated, and dropped when it is over."""

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
def databases_of_our_own() -> Iterator[Path]:
    """While it lasts, every alias leads to an empty database of this process; gives a folder that ends with them."""
    with tempfile.TemporaryDirectory(prefix="saga-prove-") as folder:
        for alias in connections:
            _name(connections[alias].settings_dict, alias, Path(folder))
        former = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
        try:
            yield Path(folder)
        finally:
            connections.close_all()
            teardown_databases(former, verbosity=0)


def _name(settings: dict[str, Any], alias: str, folder: Path) -> None:
    """Aliases that share a database go on sharing one. SQLite's usual test database, in memory, outlives no fork."""
    if settings["TEST"].get("MIRROR"):
        return
    if settings["ENGINE"].endswith("sqlite3"):
        settings["TEST"]["NAME"] = str(folder / f"{alias}.sqlite3")
    else:
        settings["TEST"]["NAME"] = f"saga_prove_{os.getpid()}_{zlib.crc32(settings['NAME'].encode()):08x}"
