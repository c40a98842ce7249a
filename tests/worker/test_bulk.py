"""Workers perform a bulk operation, a few executions at a time, also when processes crash."""

import logging
import signal
import uuid
from collections import Counter

import pytest

from sagas.models import BulkOperation, SagaEvent, SagaExecution, StepRun
from sagas.operations import Actor, Operation, bulk
from sagas.orchestrator import get_saga_orchestrator
from tests.support.clusters import signal_to
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 5


@pytest.fixture
def retried(strange, caplog):
    """Return a function that confirms a bulk retry of failed executions; each execution sleeps when it is retried."""
    caplog.set_level(logging.CRITICAL, logger="sagas")

    def confirm(count, seconds):
        for number in range(count):
            get_saga_orchestrator().execute(f"s-{number}", "second", context={"seconds": seconds})
        pks = list(SagaExecution.objects.values_list("pk", flat=True))
        rows = bulk.plan(Operation.RETRY, pks).rows
        return bulk.confirm(uuid.uuid4(), Operation.RETRY, rows, reason="again", by=Actor(name="ana", source="cli"))

    return confirm


def most_at_once(spans):
    """Return how many spans overlap at most; a span that begins when another one ends does not overlap it."""
    moments = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans], key=lambda m: (m[0], m[1]))
    now = most = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def pusher_of(one):
    """Return the pusher's process id, or None while the cluster is being replaced."""
    try:
        return one.helpers["pusher"]
    except (StopIteration, ValueError):
        return None


def finished(bulk_operation):
    return BulkOperation.objects.filter(pk=bulk_operation.pk, finished_at__isnull=False).exists()


def assert_each_was_retried_once(bulk_operation, count):
    wait_for(lambda: finished(bulk_operation) and bulk.counts(bulk_operation)["succeeded"] == count, 120)
    attempts = StepRun.objects.filter(run=2).values_list("started_at", "finished_at")
    assert most_at_once(attempts) <= AT_ONCE
    retries = SagaEvent.objects.filter(kind="retry").values_list("execution__saga_id", flat=True)
    assert Counter(retries) == {f"s-{number}": 1 for number in range(count)}


def test_a_running_cluster_carries_out_a_few_rows_at_a_time(cluster, retried):
    cluster("qcluster", BULK_AT_ONCE=AT_ONCE)
    bulk_operation = retried(40, 0.1)
    seen = []

    wait_for(lambda: seen.append(bulk.counts(bulk_operation)["running"]) or finished(bulk_operation))

    assert max(seen) <= AT_ONCE
    assert_each_was_retried_once(bulk_operation, 40)


def test_a_bulk_operation_continues_after_a_crash_of_the_cluster(cluster, retried):
    bulk_operation = retried(40, 0.05)
    first = cluster("qcluster", BULK_AT_ONCE=AT_ONCE)
    wait_for(lambda: bulk.counts(bulk_operation)["waiting"] < 30)
    first.kill()
    assert not finished(bulk_operation)

    cluster("qcluster", BULK_AT_ONCE=AT_ONCE)

    wait_for(lambda: finished(bulk_operation) and not bulk.counts(bulk_operation)["running"], 60)
    retries = SagaEvent.objects.filter(kind="retry").values_list("execution__saga_id", flat=True)
    assert Counter(retries) == {f"s-{number}": 1 for number in range(40)}
    assert bulk.counts(bulk_operation)["succeeded"] == 40


@pytest.mark.prove
def test_a_pusher_that_is_killed_repeatedly_loses_no_row(cluster, retried):
    bulk_operation = retried(60, 0.05)
    one = cluster("saga_workers", BULK_AT_ONCE=AT_ONCE)
    for left in (45, 30, 15):
        wait_for(lambda left=left: bulk.counts(bulk_operation)["waiting"] < left, 120)
        signal_to(wait_for(lambda: pusher_of(one)), signal.SIGKILL)

    wait_for(lambda: finished(bulk_operation) and bulk.counts(bulk_operation)["succeeded"] == 60, 120)
    retries = SagaEvent.objects.filter(kind="retry").values_list("execution__saga_id", flat=True)
    assert Counter(retries) == {f"s-{number}": 1 for number in range(60)}


@pytest.mark.prove
def test_two_clusters_carry_out_five_hundred_rows_once(cluster, retried):
    for _ in range(2):
        cluster("qcluster", BULK_AT_ONCE=AT_ONCE)
    bulk_operation = retried(500, 0.02)

    assert_each_was_retried_once(bulk_operation, 500)


@pytest.mark.parametrize(("failure", "event"), [("raises", "receiver.failed receiver="), ("exits", "beat.failed")])
def test_a_failing_receiver_of_beat_is_logged_and_others_run(cluster, retried, failure, event):
    bulk_operation = retried(3, 0.01)
    one = cluster("qcluster", environment={"STRANGE_BEAT": failure})

    wait_for(lambda: finished(bulk_operation))
    wait_for(lambda: one.said.count(event) > 1)
