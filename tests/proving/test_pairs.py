"""A crash, and another one in the recovery from it."""

import os

import pytest

from integrations.models import SandboxFault
from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.testing import CrashPoints
from tests.support.bookings import SandboxProviders, booking_input

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]

# With 1 they are all pairs there are.
EVERY = int(os.environ.get("SAGAS_PAIRS_EVERY", "11"))


def test_a_booking_that_fails_at_its_last_step_is_all_undone_wherever_two_processes_die():
    SandboxFault.objects.create(port="calendar", operation="add", mode="refuse", remaining=1_000_000)
    points = CrashPoints(CREATE_BOOKING_SAGA, booking_input, SandboxProviders())
    deaths = range(1, len(points.boundaries()) + 1)

    trials = list(points.pairs(deaths, every=EVERY))

    print(f"{len(trials)} pairs of deaths")
    assert [str(trial) for trial in trials if trial.violations] == []
    assert {trial.state for trial in trials} == {SagaState.FAILED}
    assert {trial.deaths[0] for trial in trials} == set(deaths)
