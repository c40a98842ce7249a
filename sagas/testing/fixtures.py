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
    """Yield a strict fake provider. After the test, fail if the provider has recorded a violation."""
    provider = FakeProvider(tmp_path / "fake_provider.sqlite3")
    yield provider
    assert provider.violations == []  # noqa: S101  (a fixture asserts like a test)


@pytest.fixture
def saga_clock() -> Iterator[FakeClock]:
    """Yield a clock that replaces the waits of sagas."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def drain_sagas(saga_clock: FakeClock) -> Callable[[], int]:
    """Return a function that runs all due and waiting executions, as workers do, and returns the number of claims."""
    return partial(drain, saga_clock)
