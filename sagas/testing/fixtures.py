"""pytest fixtures for sagas. Add `pytest_plugins = ["sagas.testing.fixtures"]` to the topmost conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from .fake_clock import FakeClock, drain
from .fake_provider import FakeProvider


@pytest.fixture
def fake_provider(tmp_path: Path) -> Iterator[FakeProvider]:
    """A strict fake provider; the test fails if a step called it in a way that no saga may."""
    provider = FakeProvider(tmp_path / "fake_provider.sqlite3")
    yield provider
    assert provider.violations == []  # noqa: S101  (a fixture asserts like a test)


@pytest.fixture
def saga_clock() -> Iterator[FakeClock]:
    """A clock that skips the waits of sagas."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def drain_sagas(saga_clock: FakeClock) -> Callable[[], int]:
    """A function that runs all due and waiting executions as workers would, and returns how many it claimed."""
    return partial(drain, saga_clock)
