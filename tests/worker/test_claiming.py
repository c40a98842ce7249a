"""Workers claim due executions once, by priority, and only those of sagas that they have registered."""

import datetime as dt
import io
import os
import signal
from collections import Counter

import pytest
from django.core.management import call_command
from django.db.models.functions import Now

from integrations.models import SandboxFault
from sagas import Priority, SagaState, storage
from sagas.definition import registry
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, booking_input, payment_input
from tests.support.clusters import LEASE, stays
from tests.support.processes import wait_for
from tests.support.toys import ToyProviders

pytestmark = pytest.mark.django_db(transaction=True)

MANY = int(os.environ.get("SAGAS_MANY", "40"))


def start(saga_id, saga, context=None, **options):
    return get_saga_orchestrator().start(saga_id, saga, context=context, **options)


def states():
    return Counter(SagaExecution.objects.values_list("state", flat=True))


def all_ended(count):
    return SagaExecution.objects.filter(state__in=["succeeded", "failed"]).count() == count


def test_a_started_saga_is_run_by_a_worker(cluster):
    cluster("qcluster", workers=1)

    queued = start("b", "create_booking", booking_input("b"))
    assert queued.state is SagaState.PENDING
    execution = get_saga_orchestrator().wait("b", 30)

    assert execution.state is SagaState.SUCCEEDED
    assert violations_of(registry.get_saga("create_booking"), "b", SandboxProviders().effects(execution)) == []


def test_a_retry_that_waits_occupies_no_thread(cluster):
    SandboxFault.objects.create(port="payments", operation="create", mode="throttle", match="p:", remaining=1)
    cluster("qcluster", workers=1, WORKER_THREADS=1)
    start("p", "collect_payment", payment_input("p"))
    wait_for(lambda: StepRun.objects.filter(execution__saga_id="p", outcome="failed").exists())

    start("n", "noop")
    assert get_saga_orchestrator().wait("n", 30).state is SagaState.SUCCEEDED
    assert get_saga_orchestrator().wait("p", 30).state is SagaState.SUCCEEDED


def test_more_work_than_threads_is_claimed_once(cluster):
    """The executions wait longer than a lease, but an execution that was not claimed has no lease that can expire."""
    for number in range(MANY):
        start(f"n-{number}", "nap", {"seconds": 0.4})
    cluster("qcluster", WORKER_THREADS=4, LEASE=1.0)
    wait_for(lambda: all_ended(MANY))

    assert states() == {SagaState.SUCCEEDED: MANY}
    assert not SagaExecution.objects.filter(recoveries__gt=0).exists()
    assert not SagaEvent.objects.exists()
    # Version 1 is the insert, version 2 the claim, version 3 the end.
    assert Counter(SagaExecution.objects.values_list("version", flat=True)) == {3: MANY}


@pytest.mark.prove
def test_a_backlog_is_no_reason_to_replace_a_cluster(cluster):
    for number in range(300):
        start(f"n-{number}", "nap", {"seconds": 0.3})
    one = cluster("saga_workers", WORKER_THREADS=2)
    wait_for(lambda: all_ended(300))

    assert "cluster.replaced" not in one.said


@pytest.mark.prove
def test_five_hundred_sagas_on_eight_threads_are_claimed_once(cluster):
    for number in range(500):
        start(f"n-{number}", "nap", {"seconds": 1.0})
    cluster("qcluster", WORKER_THREADS=4, LEASE=4.0)
    wait_for(lambda: all_ended(500), patience=180)

    assert states() == {SagaState.SUCCEEDED: 500}
    assert not SagaEvent.objects.exists()
    assert Counter(SagaExecution.objects.values_list("version", "recoveries")) == {(3, 0): 500}


@pytest.mark.prove
def test_a_poison_step_is_quarantined_and_other_sagas_end(cluster):
    for number in range(MANY):
        start(f"n-{number}", "naps")
    start("deadly", "poison")
    cluster("saga_workers", workers=1, WORKER_THREADS=4, LEASE=1.0, MAX_RECOVERIES=2)
    wait_for(lambda: all_ended(MANY + 1))

    assert states() == {SagaState.SUCCEEDED: MANY, SagaState.FAILED: 1}
    deadly = get_saga_orchestrator().get_status("deadly")
    assert [(run.step, run.outcome, run.ending) for run in deadly.step_executions] == [
        ("fine", "succeeded", ""),
        ("die", "uncertain", ""),
        ("die", "uncertain", "poison"),
        ("die", "succeeded", ""),
        ("fine", "succeeded", ""),
    ]
    assert deadly.needs_attention


@pytest.mark.untraced
def test_a_step_stuck_in_c_is_in_doubt_and_its_thread_is_replaced(cluster):
    one = cluster("qcluster", workers=1, WORKER_THREADS=2, GRACE=0.5)
    start("c", "compute", {"rounds": 30_000_000})
    wait_for(lambda: StepRun.objects.filter(execution__saga_id="c").exists())
    first = StepRun.objects.get(execution__saga_id="c", attempt=1)
    assert (first.outcome, first.error_type) == ("uncertain", "StepTimeout")
    assert first.duration() < 0.5 + 0.5 + 2

    assert get_saga_orchestrator().wait("c", 30).state is SagaState.SUCCEEDED
    wait_for(lambda: one.rows.filter(free=2, running=0).exists())


@pytest.mark.untraced
def test_a_process_with_all_threads_stuck_is_replaced(cluster):
    one = cluster("qcluster", workers=1, WORKER_THREADS=1, GRACE=0.5, DRAIN_SECONDS=1)
    before = one.workers
    start("c", "compute", {"rounds": 60_000_000})
    assert get_saga_orchestrator().wait("c", 60).state is SagaState.SUCCEEDED

    wait_for(lambda: one.workers and one.workers != before)


def test_a_worker_paused_past_its_lease_writes_nothing_when_it_wakes(cluster):
    SandboxFault.objects.create(port="payments", operation="confirm", mode="latency", match="p:", latency_ms=1500)
    one = cluster("qcluster", workers=1)
    start("p", "collect_payment", payment_input("p"))
    wait_for(lambda: not SandboxFault.objects.filter(remaining__gt=0).exists())
    asleep = one.workers[0]
    os.kill(asleep, signal.SIGSTOP)

    cluster("qcluster", workers=1)
    execution = get_saga_orchestrator().wait("p", 30)
    version = execution.version
    os.kill(asleep, signal.SIGCONT)

    def nothing_new():
        execution.refresh_from_db()
        return execution.version == version and execution.step_runs.count() == len(execution.plan) + 1

    assert execution.state is SagaState.SUCCEEDED
    assert [run.outcome for run in execution.step_executions if run.step == "process_payment"] == [
        "uncertain",
        "succeeded",
    ]
    wait_for(lambda: "lease.taken" in one.said or "lease.lost" in one.said or "LeaseLost" in one.said)
    assert stays(nothing_new, LEASE)
    assert violations_of(registry.get_saga("collect_payment"), "p", SandboxProviders().effects(execution)) == []


@pytest.mark.prove
def test_an_execution_with_a_removed_step_is_held(cluster):
    start("r", "renamed", {"seconds": 0.0})
    SagaExecution.objects.filter(saga_id="r").update(plan=["former", "after"])
    cluster("qcluster", workers=1, environment={"STRANGE_STEP": "latter"}, WORKER_THREADS=2)
    cluster("qcluster", workers=1, WORKER_THREADS=1)

    execution = wait_for(lambda: SagaExecution.objects.filter(saga_id="r").exclude(held="").first())

    assert execution.held == (
        "The definition of renamed no longer has the step 'former', which this execution was planned with. "
        "Deploy a version that has it, then release."
    )
    assert execution.needs_attention
    assert not execution.step_runs.exists()


def many_due(count, priority, age):
    """Create `count` executions that have been due for `age` seconds."""
    template = {"saga_name": "noop", "input": {}, "context": {}, "plan": ["one", "two", "three", "four"]}
    due = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)
    rank = due - dt.timedelta(seconds=600 * priority)
    rows = [
        SagaExecution(saga_id=f"{priority.name}-{n}", priority=priority, due_at=due, rank_at=rank, **template)
        for n in range(count)
    ]
    SagaExecution.objects.bulk_create(rows, batch_size=1000)


def claim(count):
    claimed = storage.claim_due(count, list(registry.all_sagas()), worker="host:1:abc", lease=60)
    return Counter(str(execution.saga_id).split("-")[0] for execution in claimed)


@pytest.mark.prove
def test_high_is_claimed_first_and_low_waits_only_its_time(strange):
    many_due(10_000, Priority.LOW, age=300)
    many_due(10_000, Priority.NORMAL, age=300)
    start("HIGH-0", "urgent")
    assert claim(1) == {"HIGH": 1}

    # LOW is claimed before NORMAL when it has waited ten minutes longer, and before HIGH when twenty minutes longer.
    assert claim(3) == {"NORMAL": 3}
    SagaExecution.objects.filter(priority=Priority.LOW).update(rank_at=Now() - dt.timedelta(seconds=2 * 600 + 1))
    start("HIGH-1", "urgent")
    assert claim(2) == {"LOW": 2}


@pytest.mark.prove
def test_high_is_the_next_that_a_busy_worker_claims(cluster):
    many_due(10_000, Priority.LOW, age=300)
    many_due(10_000, Priority.NORMAL, age=300)
    cluster("qcluster", workers=1, WORKER_THREADS=1)
    wait_for(lambda: SagaExecution.objects.filter(state="succeeded").exists())

    urgent = start("urgent", "urgent")
    urgent = get_saga_orchestrator().wait("urgent", 30)

    before = SagaExecution.objects.filter(started_at__gt=urgent.created_at, started_at__lt=urgent.started_at)
    assert urgent.state is SagaState.SUCCEEDED
    assert before.count() <= 2


@pytest.mark.prove
def test_a_retry_storm_does_not_delay_urgent_work(cluster):
    """One command retries 2,000 executions (10,000 with SAGAS_MANY=200)."""
    storm = 50 * MANY
    many_due(storm, Priority.NORMAL, age=0)
    SagaExecution.objects.update(state="failed", due_at=None, rank_at=None, started_at=Now(), finished_at=Now())
    call_command("saga_retry", state="failed", reason="provider is back", yes=True, detach=True, stdout=io.StringIO())
    assert SagaExecution.objects.filter(state="pending", run=2).count() == storm
    cluster("qcluster", workers=1, WORKER_THREADS=2)
    wait_for(lambda: SagaExecution.objects.filter(state="succeeded").exists())

    urgent = start("urgent", "urgent")
    urgent = get_saga_orchestrator().wait("urgent", 30)

    before = SagaExecution.objects.filter(started_at__gt=urgent.created_at, started_at__lt=urgent.started_at)
    assert urgent.state is SagaState.SUCCEEDED
    assert before.count() <= 4


def test_a_compensation_without_its_provider_is_deferred(cluster):
    """During the outage, other steps are compensated and another saga runs; after it, the saga ends."""
    outage = SandboxFault.objects.create(port="email", mode="fail_before", match="a:1:two:undo", remaining=1000)
    cluster("qcluster", workers=1, WORKER_THREADS=1)
    start("a", "away")
    compensated = StepRun.objects.filter(execution__saga_id="a", direction="compensation", outcome="succeeded")
    wait_for(lambda: compensated.filter(step="one").exists())

    start("n", "noop")
    assert get_saga_orchestrator().wait("n", 30).state is SagaState.SUCCEEDED
    assert get_saga_orchestrator().get_status("a").state is SagaState.COMPENSATING
    outage.delete()
    execution = get_saga_orchestrator().wait("a", 30)

    assert execution.state is SagaState.FAILED
    assert violations_of(registry.get_saga("away"), "a", ToyProviders().effects(execution)) == []
