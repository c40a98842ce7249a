"""Measure the lengths of functions, files and test names, and count the packages and modules in `sagas`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from .source import PACKAGES, ROOT, Function, functions, modules

MEDIAN = range(7, 13)
MOST_P90 = 30
MOST_LINES = 400
FEW_LINES = 40
MOST_SMALL_FILES = 0.10
MOST_AT_THE_TOP = 12
MOST_CHARACTERS = 70
# Django or Python packaging requires these names, so they do not count.
FIXED_BY_DJANGO = {
    "__init__.py",
    "admin",
    "apps.py",
    "locale",
    "management",
    "migrations",
    "models",
    "py.typed",
    "static",
    "templates",
    "templatetags",
}


def length(function: Function) -> int:
    """Return the number of lines from `def` to the end. The docstring counts, decorators do not."""
    return function.end_lineno - function.lineno + 1


def lengths() -> list[tuple[int, str]]:
    """Return the length and the place of each function, longest first."""
    found = ((length(node), f"{_place(path)}:{node.lineno} {node.name}") for path, node in functions(*PACKAGES))
    return sorted(found, reverse=True)


def median_and_p90() -> tuple[float, float]:
    """Return the median and the 90th percentile of the functions' lengths."""
    found = [lines for lines, _ in lengths()]
    return statistics.median(found), statistics.quantiles(found, n=10)[-1]


def files() -> dict[str, int]:
    """Return the number of lines of each file, without `__init__.py` files, migrations and commands."""
    counted = (path for path in modules(*PACKAGES) if path.stem != "__init__" and path.parent.name != "commands")
    return {_place(path): len(path.read_text().splitlines()) for path in counted}


def large_files() -> list[str]:
    """Return the files with more than 400 lines, including `__init__.py` files and commands."""
    counted = ((path, len(path.read_text().splitlines())) for path in modules(*PACKAGES))
    return [f"{_place(path)}: {lines} lines" for path, lines in counted if lines > MOST_LINES]


def small_files() -> dict[str, int]:
    """Return the number of lines of each file with fewer than 40 lines."""
    return {place: lines for place, lines in files().items() if lines < FEW_LINES}


def entries_at_the_top() -> list[str]:
    """Return the packages and modules directly in `sagas`, without those that Django or Python requires."""
    found = {path.name for path in (ROOT / "sagas").iterdir()}
    return sorted(found - FIXED_BY_DJANGO - {"__pycache__"})


def long_test_names() -> Iterator[str]:
    """Yield each test name with more than 70 characters, with its place and its length."""
    for path, node in functions("tests"):
        if node.name.startswith("test_") and len(node.name) > MOST_CHARACTERS:
            yield f"{_place(path)}:{node.lineno} {node.name} ({len(node.name)})"


def _place(path: Path) -> str:
    return str(path.relative_to(ROOT))
