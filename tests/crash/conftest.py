"""A short lease for tests whose processes wait for it to run out."""

import pytest


@pytest.fixture
def short_lease(settings):
    settings.SAGAS = {"LEASE": 1.0}
