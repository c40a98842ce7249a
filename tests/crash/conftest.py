"""Give these tests a short lease, because their processes wait for it to expire."""

import pytest


@pytest.fixture
def short_lease(settings):
    settings.SAGAS = {"LEASE": 1.0}
