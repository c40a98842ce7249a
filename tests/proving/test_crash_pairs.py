"""A worker crashes, and then the worker that recovers the execution crashes too."""

import os

import pytest

from integrations.models import SandboxFault
from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.testing import CrashTest
from tests.support.bookings import SandboxProviders, booking_input

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]

# The second crash hits every n-th crash point of the recovery. With n = 1, the test covers all pairs.
EVERY = int(os.environ.get("SAGAS_PAIRS_EVERY", "11"))


def test_a_failed_booking_is_compensated_after_two_crashes():
    SandboxFault.objects.create(port="calendar", operation="add", mode="refuse", remaining=1_000_000)
    test = CrashTest(CREATE_BOOKING_SAGA, booking_input, SandboxProviders())
    crashes = range(1, len(test.crash_points()) + 1)

    trials = list(test.pairs(crashes, every=EVERY))

    print(f"{len(trials)} pairs of crashes")
    assert [str(trial) for trial in trials if trial.violations] == []
    assert {trial.state for trial in trials} == {SagaState.FAILED}
    assert {trial.crashes[0] for trial in trials} == set(crashes)
