"""pytest's fixtures for sagas: `pytest_plugins = ["sagas.testing.fixtures"]` in the topmost conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from .clocks import FakeClock, drain
from .world import World


@pytest.fixture
def saga_world(tmp_path: Path) -> Iterator[World]:
    """A world of the test's own; the test fails if anything was done to it that no saga may do."""
    world = World(tmp_path / "world.sqlite3")
    yield world
    assert world.objections == []  # noqa: S101  (what tests do)


@pytest.fixture
def saga_clock() -> Iterator[FakeClock]:
    """A clock that jumps over whatever a saga waits for."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def drain_sagas(saga_clock: FakeClock) -> Callable[[], int]:
    """Run all that is due or waits, as workers would; gives how many times an execution was taken up."""
    return partial(drain, saga_clock)
