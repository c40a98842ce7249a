"""The worker's thread pool: threads that cannot be started, stuck threads, and the end of a drain."""

import threading
import time

import pytest
from django.db.models import F

from sagas import SagaState, StillPending, storage
from sagas.engine.lease_renewal import Watch
from sagas.engine.leased_execution import worker_name
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.worker.pool import Pool
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

# A thread stack of this size exceeds the address space, so the next thread cannot be started.
TOO_MUCH = 2**46


@pytest.fixture
def no_more_threads():
    """Yield a function that makes this process unable to start threads."""
    before = threading.stack_size()
    yield lambda: threading.stack_size(TOO_MUCH)
    threading.stack_size(before)


def jobs(strange, *saga_ids):
    """Start and claim one execution of the noop saga for each id."""
    return jobs_of(strange.NOOP, *saga_ids)


def jobs_of(saga, *saga_ids):
    for saga_id in saga_ids:
        get_saga_orchestrator().start(saga_id, saga.name)
    return claimed(saga, len(saga_ids))


def claimed(saga, count=1):
    sent = time.monotonic()
    found = storage.claim_due(count, [saga.name], worker=worker_name(), lease=60)
    return [(execution, saga, sent) for execution in found]


def test_one_thread_does_the_work_if_a_second_cannot_be_started(strange, no_more_threads):
    unusable = []
    pool = Pool(2, lambda: unusable.append(True))
    pool.run(jobs(strange, "a"))
    wait_for(lambda: pool.running == 0)
    no_more_threads()

    pool.run(jobs(strange, "b", "c"))

    assert pool.wait_until_idle(30)
    assert get_saga_orchestrator().list_executions(SagaState.SUCCEEDED).count() == 3
    assert not unusable
    pool.drain()


def test_a_pool_without_threads_is_unusable(strange, no_more_threads):
    unusable = []
    pool = Pool(2, lambda: unusable.append(True))
    no_more_threads()

    pool.run(jobs(strange, "a"))

    assert unusable


def test_an_execution_parked_after_the_drain_is_claimed_again(stage, registered):
    """A provider answers that its work is pending, just before a process exits because its drain is over."""
    let_go, running = threading.Event(), threading.Event()

    def wait_for_it(context):
        running.set()
        let_go.wait(30)
        raise StillPending(0.01)

    saga = registered(stage.step("a", StillPending(0), wait_for_it, {}))
    pool = Pool(1, lambda: None)
    pool.run(jobs_of(saga, "a"))
    running.wait(30)

    pool.drain()
    pool.uncount_recoveries()
    let_go.set()
    assert pool.wait_until_idle(30)

    execution, _, _ = wait_for(lambda: claimed(saga))[0]
    assert (execution.recoveries, execution.lost) == (0, False)


@pytest.mark.untraced
def test_a_stuck_thread_that_lost_its_lease_is_replaced(strange, stage, registered, settings):
    settings.SAGAS = {"GRACE": 0.1}
    let_go, unusable = threading.Event(), []

    def lose_the_row_and_hang(context):
        """Lose the lease, as if the process had been paused past its lease and its connections had been cut."""
        SagaExecution.objects.filter(saga_id=context.saga_id).update(version=F("version") + 1)
        let_go.wait(30)

    pool = Pool(1, lambda: unusable.append(True))
    pool.run(jobs_of(registered(stage.step("a", lose_the_row_and_hang, timeout=0.2)), "a"))

    wait_for(lambda: pool.free)
    assert (pool.stuck, unusable) == (1, [True])
    pool.run(jobs(strange, "b"))
    assert get_saga_orchestrator().wait("b", 30).state is SagaState.SUCCEEDED

    let_go.set()
    wait_for(lambda: not pool.stuck)
    pool.drain()


def test_a_watch_without_a_thread_forgets_what_it_was_given(no_more_threads):
    """The caller of `add` got an error, so the watch must not renew that lease later."""
    looks = []
    watch = Watch("sagas-test", looks.append)
    no_more_threads()
    with pytest.raises(RuntimeError):
        watch.add("refused")

    threading.stack_size(0)
    watch.add("later")
    wait_for(lambda: looks)
    watch.discard("later")

    assert looks[0] == ["later"]
