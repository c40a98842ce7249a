"""A pool that the system gives no threads."""

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
from tests.crash.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

# More than any address space has room for, so that the next thread is refused.
TOO_MUCH = 2**46


@pytest.fixture
def no_more_threads():
    """A switch: from the call on, this process gets no new thread."""
    before = threading.stack_size()
    yield lambda: threading.stack_size(TOO_MUCH)
    threading.stack_size(before)


def jobs(strange, *saga_ids):
    """So many noops, started and claimed."""
    return jobs_of(strange.NOOP, *saga_ids)


def jobs_of(saga, *saga_ids):
    for saga_id in saga_ids:
        get_saga_orchestrator().start(saga_id, saga.name)
    return claimed(saga, len(saga_ids))


def claimed(saga, count=1):
    sent = time.monotonic()
    found = storage.claim_due(count, [saga.name], worker=worker_name(), lease=60)
    return [(execution, saga, sent) for execution in found]


def test_with_one_thread_it_works_off_what_was_meant_for_two(strange, no_more_threads):
    helpless = []
    pool = Pool(2, lambda: helpless.append(True))
    pool.run(jobs(strange, "a"))
    wait_for(lambda: pool.running == 0)
    no_more_threads()

    pool.run(jobs(strange, "b", "c"))

    assert pool.wait_until_idle(30)
    assert get_saga_orchestrator().list_executions(SagaState.SUCCEEDED).count() == 3
    assert not helpless
    pool.drain()


def test_without_any_thread_its_process_is_told_to_leave(strange, no_more_threads):
    helpless = []
    pool = Pool(2, lambda: helpless.append(True))
    no_more_threads()

    pool.run(jobs(strange, "a"))

    assert helpless


def test_what_is_excused_and_then_parked_after_all_is_claimed_again(stage, registered):
    """A provider that has not finished answers in the last moment of a process whose drain is over."""
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
    pool.excuse()
    let_go.set()
    assert pool.wait_until_idle(30)

    execution, _, _ = wait_for(lambda: claimed(saga))[0]
    assert (execution.recoveries, execution.lost) == (0, False)


@pytest.mark.untraced
def test_who_is_stuck_with_what_another_has_taken_gives_its_place_up(strange, stage, registered, settings):
    settings.SAGAS = {"GRACE": 0.1}
    let_go, helpless = threading.Event(), []

    def lose_the_row_and_hang(context):
        """As in a process that was paused past its lease, and whose connections are dead when it goes on."""
        SagaExecution.objects.filter(saga_id=context.saga_id).update(version=F("version") + 1)
        let_go.wait(30)

    pool = Pool(1, lambda: helpless.append(True))
    pool.run(jobs_of(registered(stage.step("a", lose_the_row_and_hang, timeout=0.2)), "a"))

    wait_for(lambda: pool.free)
    assert (pool.stuck, helpless) == (1, [True])
    pool.run(jobs(strange, "b"))
    assert get_saga_orchestrator().wait("b", 30).state is SagaState.SUCCEEDED

    let_go.set()
    wait_for(lambda: not pool.stuck)
    pool.drain()


def test_what_no_thread_could_be_had_for_is_not_watched_later(no_more_threads):
    """Its owner has given up; a lease that went on being renewed would be nobody's, for ever."""
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
