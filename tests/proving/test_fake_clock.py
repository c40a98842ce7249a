"""`FakeClock` moves the time, and `drain` runs the executions that are due."""

import datetime as dt

import pytest

from sagas import Priority, RetryLater, Saga, SagaState, SagaStep, StillPending, register
from sagas.definition import registry
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import FakeClock, drain

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

DAY = 86400.0


def retry_after_half_a_day(context):
    if context.attempt == 1:
        raise RetryLater(DAY / 2)


def never_finish(context):
    raise StillPending(DAY / 10)


@pytest.fixture
def slow():
    """Register a saga whose first step waits for half a day."""
    yield register(Saga("slow", [SagaStep("wait", retry_after_half_a_day), SagaStep("then", lambda context: None)]))
    registry.unregister("slow")


def start(saga_id, **options):
    return get_saga_orchestrator().start(saga_id, "slow", **options)


def state_of(saga_id):
    return SagaExecution.objects.get(saga_id=saga_id).state


def test_execute_skips_waits(saga_clock):
    before = saga_clock.now

    execution = get_saga_orchestrator().execute("p", "p", [SagaStep("pend", never_finish, lambda context: None)])

    assert execution.state is SagaState.FAILED
    assert dt.timedelta(days=1) <= saga_clock.now - before < dt.timedelta(days=2)
    assert execution.finished_at - execution.created_at >= dt.timedelta(days=1)


def test_drain_runs_what_is_due_and_leaves_what_waits(slow):
    start("s")

    assert drain() == 1
    assert state_of("s") is SagaState.IN_PROGRESS
    assert drain() == 0


def test_a_waiting_saga_goes_on_when_it_is_due(slow):
    with FakeClock() as clock:
        start("s")
        drain()
        clock.advance(hours=11)
        assert drain() == 0
        clock.advance(hours=1)

        assert drain() == 1

    assert state_of("s") is SagaState.SUCCEEDED


def test_drain_with_a_clock_runs_until_nothing_waits(slow, drain_sagas):
    start("s")
    start("t", priority=Priority.LOW)

    assert drain_sagas() == 4
    assert [state_of("s"), state_of("t")] == [SagaState.SUCCEEDED, SagaState.SUCCEEDED]


def test_time_is_real_again_after_the_block():
    with FakeClock() as clock:
        clock.advance(days=400)
        assert clock.now > dt.datetime.now(dt.UTC) + dt.timedelta(days=399)

    assert FakeClock().now < dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
