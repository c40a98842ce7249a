"""SIGTERM drains a cluster and ends it, whatever the cluster is doing."""

import os
import signal
import sys
import time

import pytest

from sagas import SagaState
from sagas.models import SagaExecution, SagaWorker, StepRun
from sagas.orchestrator import get_saga_orchestrator
from sagas.worker.process import WorkerProcess
from sagas.worker.supervision.processes import parents_in_group
from tests.support.processes import exit_code, forked, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def running(count):
    return SagaExecution.objects.filter(leased=True).count() == count


@pytest.mark.parametrize("command", ["qcluster", "saga_workers"])
def test_running_attempts_end_and_their_executions_are_parked_due(cluster, command):
    one = cluster(command, WORKER_THREADS=4, DRAIN_SECONDS=20)
    for number in range(8):
        get_saga_orchestrator().start(f"n-{number}", "naps", context={"seconds": 1.0})
    wait_for(lambda: running(8))
    group = one.group

    assert one.stop() == 0

    assert not parents_in_group(group)
    assert not SagaWorker.objects.exists()
    assert not StepRun.objects.exclude(outcome="succeeded").exists()
    assert StepRun.objects.count() == 8
    for execution in SagaExecution.objects.all():
        assert (execution.state, execution.leased, execution.recoveries) == (SagaState.IN_PROGRESS, False, 0)
        assert execution.due_at is not None


@pytest.mark.untraced
def test_a_step_that_does_not_return_is_abandoned_after_the_drain(cluster):
    one = cluster("saga_workers", workers=1, DRAIN_SECONDS=2, GRACE=60)
    get_saga_orchestrator().start("c", "compute", context={"rounds": 100_000_000})
    wait_for(lambda: running(1))

    begun = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - begun < 2 + 5


@pytest.mark.prove
def test_a_step_abandoned_by_deploys_is_no_poison_step(cluster):
    get_saga_orchestrator().start("n", "nap", context={"seconds": 4.0})
    for lost in (0, 1):
        one = cluster("qcluster", workers=1, DRAIN_SECONDS=1, MAX_RECOVERIES=1)
        wait_for(lambda lost=lost: running(1) and StepRun.objects.filter(error_type="lost lease").count() == lost)
        assert one.stop() == 0
    cluster("qcluster", workers=1, MAX_RECOVERIES=1)

    execution = get_saga_orchestrator().wait("n", 30)

    assert execution.state is SagaState.SUCCEEDED
    assert [run.outcome for run in execution.step_executions] == ["uncertain", "uncertain", "succeeded"]


def test_a_worker_that_gets_sigterm_parks_its_executions(cluster):
    one = cluster("qcluster", workers=1, WORKER_THREADS=2)
    get_saga_orchestrator().start("n", "naps", context={"seconds": 0.5})
    wait_for(lambda: running(1))
    before = one.workers

    os.kill(before[0], signal.SIGTERM)

    wait_for(lambda: one.workers and one.workers != before)
    execution = get_saga_orchestrator().wait("n", 30)
    assert execution.state is SagaState.SUCCEEDED
    assert not execution.step_runs.exclude(outcome="succeeded").exists()
    assert execution.recoveries == 0


@pytest.mark.parametrize("leaves", ["alone", "with its cluster"])
def test_running_attempts_can_use_executors_during_a_drain(cluster, leaves):
    one = cluster("qcluster", workers=1)
    get_saga_orchestrator().start("d", "delegate", context={"seconds": 2.0})
    wait_for(lambda: running(1))

    if leaves == "alone":
        os.kill(one.workers[0], signal.SIGTERM)
    else:
        assert one.stop() == 0

    wait_for(StepRun.objects.exists)
    first = StepRun.objects.earliest("sequence")
    assert (first.outcome, first.error_message) == ("succeeded", "")


def test_a_worker_whose_main_thread_is_about_to_wait_leaves_too(cluster):
    one = cluster("qcluster", workers=1, WORKER_THREADS=2)
    before = one.workers

    get_saga_orchestrator().start("s", "signal", context={"seconds": 1.0})

    wait_for(lambda: one.workers and one.workers != before)
    execution = get_saga_orchestrator().wait("s", 30)
    assert execution.state is SagaState.SUCCEEDED
    assert not execution.step_runs.exclude(outcome="succeeded").exists()
    assert execution.recoveries == 0


@pytest.mark.prove
@pytest.mark.parametrize("line", range(1, 16))
def test_a_second_sigterm_during_the_first_ends_the_worker(line):
    """The second signal arrives at the given line of the handler that runs for the first signal."""
    lines = iter(range(1, line + 1))

    def strike(frame, event, argument):
        if event == "line" and next(lines, None) == line:
            signal.raise_signal(signal.SIGTERM)
        return strike

    def receive_two():
        WorkerProcess().start()
        sys.settrace(strike)
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            sys.settrace(None)

    with forked(receive_two) as child:
        assert exit_code(child) == 0


def test_a_cluster_without_its_supervisor_ends(cluster):
    one = cluster("saga_workers")
    group = one.group

    os.kill(one.process.pid, signal.SIGKILL)

    wait_for(lambda: not parents_in_group(group))
    assert not SagaWorker.objects.exists()


@pytest.mark.prove
def test_a_recycled_worker_is_replaced_without_a_new_cluster(cluster):
    one = cluster("saga_workers", workers=1, recycle=2, WORKER_THREADS=2)
    group, before = one.group, one.workers
    for number in range(3):
        get_saga_orchestrator().start(f"n-{number}", "naps", context={"seconds": 0.2})
        assert get_saga_orchestrator().wait(f"n-{number}", 30).state is SagaState.SUCCEEDED

    wait_for(lambda: one.workers and one.workers != before)
    assert one.group == group
    assert not StepRun.objects.exclude(outcome="succeeded").exists()
    assert "cluster.replaced" not in one.said


@pytest.mark.prove
def test_processes_and_brokers_of_a_step_do_not_affect_the_cluster(cluster):
    one = cluster("saga_workers", workers=1, DRAIN_SECONDS=5)
    group = one.group
    get_saga_orchestrator().start("m", "meddle")
    meddled = get_saga_orchestrator().wait("m", 30)
    assert (meddled.state, meddled.context["the child was ended by"]) == (SagaState.SUCCEEDED, signal.SIGTERM)
    for number in range(400):
        get_saga_orchestrator().start(f"n-{number}", "naps")
    wait_for(lambda: StepRun.objects.count() > 10)

    begun = time.monotonic()
    assert one.stop() == 0

    assert time.monotonic() - begun < 5 + 5
    assert one.group == group
    assert "cluster.replaced" not in one.said
    assert SagaExecution.objects.filter(state="pending").exists()
    assert not StepRun.objects.exclude(outcome="succeeded").exists()
