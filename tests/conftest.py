"""Fixtures and hooks for all tests."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

pytest_plugins = ["integrations.pytest_plugin"]

TOOLS = ["lint-imports", "coverage"]
MODULES = ["psycopg", "hypothesis", "factory", "playwright", "axe_playwright_python"]

TESTS = Path(__file__).parent
SLOWEST = ("api/test_contract.py", "chaos/", "model/", "proving/", "property/")
SURFACES = {"admin", "api", "browser", "commands", "docs", "integrations", "property", "proving"}


def pytest_sessionstart() -> None:
    """Stop a CI run that lacks a tool, because skipped tests would look like passed ones."""
    if "CI" not in os.environ:
        return
    beside = str(Path(sys.executable).parent)
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=beside)]
    missing += [module for module in MODULES if not importlib.util.find_spec(module)]
    if missing:
        pytest.exit(f"CI lacks {', '.join(missing)}: install requirements-dev.txt.", returncode=3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of some folders, and run the slowest folder first to shorten the parallel run."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in SURFACES:
            item.add_marker(pytest.mark.surface)
    items.sort(key=lambda item: not item.path.relative_to(TESTS).as_posix().startswith(SLOWEST))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """Close all connections before the test database is dropped.

    On PostgreSQL two aliases share the test database. An open connection of either alias prevents the drop.
    """
    from django.db import connections

    yield
    connections.close_all()


@pytest.fixture
def stage():
    """Make steps that follow a script, and record their calls."""
    from tests.support import Stage

    return Stage()


@pytest.fixture
def registered():
    """Register sagas until the end of the test."""
    from tests.support import Registered

    sagas = Registered()
    yield sagas
    sagas.forget()


@pytest.fixture
def orchestrator():
    from sagas.orchestrator import get_saga_orchestrator

    return get_saga_orchestrator()


@pytest.fixture
def plant(db):
    """Create a fault of the sandbox: plant("payments", "charge", "refuse", remaining=2)."""
    from integrations.models import SandboxFault

    def order(port, operation, mode, **values):
        return SandboxFault.objects.create(port=port, operation=operation, mode=mode, **values)

    return order
