"""What the documentation tests share."""

import pytest

from sagas.definition import registry


@pytest.fixture
def registry_restored():
    """Forget the sagas that an example registers."""
    before = set(registry.all_sagas())
    yield
    for name in set(registry.all_sagas()) - before:
        registry.unregister(name)
