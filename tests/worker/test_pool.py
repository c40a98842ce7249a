"""A pool that the system gives no threads."""

import threading
import time

import pytest

from sagas import SagaState, journal
from sagas.orchestrator import get_saga_orchestrator
from sagas.tenure import worker_name
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
    for saga_id in saga_ids:
        get_saga_orchestrator().start(saga_id, "noop")
    sent = time.monotonic()
    claimed = journal.claim_due(len(saga_ids), ["noop"], worker=worker_name(), lease=60)
    return [(execution, strange.NOOP, sent) for execution in claimed]


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
