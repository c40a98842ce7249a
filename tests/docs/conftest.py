"""A fixture for the tests of the documentation."""

import pytest

from sagas.definition import registry


@pytest.fixture
def registry_restored():
    """Unregister the sagas that an example in the documentation registers."""
    before = set(registry.all_sagas())
    yield
    for name in set(registry.all_sagas()) - before:
        registry.unregister(name)
