"""What the sentences of this folder are about."""

import pytest

from sagas.orchestrator import get_saga_orchestrator
from tests.support import Registered, Stage


@pytest.fixture
def stage():
    """Makes steps that follow a script, and keeps their calls."""
    return Stage()


@pytest.fixture
def registered():
    """Registers sagas; they are forgotten after the test."""
    sagas = Registered()
    yield sagas
    sagas.forget()


@pytest.fixture
def orchestrator():
    return get_saga_orchestrator()
