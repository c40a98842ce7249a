"""The supervisor replaces a cluster only if the cluster failed, also while the database hangs."""

import os
import signal
import sys
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now

from sagas import SagaState
from sagas.engine.leased_execution import HOST
from sagas.models import SagaExecution, SagaWorker, StepRun
from sagas.models.querysets import ago
from sagas.orchestrator import get_saga_orchestrator
from sagas.worker.supervision.processes import parents_in_group
from tests.support.clusters import open_transaction, stays
from tests.support.processes import ROOT, wait_for

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]

# LOCK prevents others from claiming an execution. LOCK_ALL prevents all writes and, on PostgreSQL, all reads.
LOCK, LOCK_ALL = ["BEGIN IMMEDIATE"], ["BEGIN IMMEDIATE"]
if connection.vendor == "postgresql":
    LOCK = ["BEGIN", "SELECT 1 FROM sagas_execution WHERE saga_id = 'n' FOR UPDATE"]
    LOCK_ALL = ["BEGIN", "LOCK TABLE sagas_execution, sagas_worker IN ACCESS EXCLUSIVE MODE"]

# Make orphans children of this process (prctl(2)), as they are of the first process in a container.
REAPS = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def worked(one, times):
    return one.said.count("cluster.working") >= times


def test_crashes_and_sigterm_are_handled_while_the_database_hangs(cluster):
    one = cluster("saga_workers", DRAIN_SECONDS=2)
    victim = one.workers[0]
    with open_transaction(*LOCK_ALL):
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: worked(one, 2))

        one.process.send_signal(signal.SIGTERM)
        assert wait_for(lambda: one.process.poll() is not None, patience=15)

    assert one.process.returncode == 0
    assert f"process {victim} died" in one.said
    assert "cluster.replaced" in one.said


def test_a_lock_on_a_due_row_is_no_reason_to_replace_a_cluster(cluster):
    one = cluster("saga_workers", workers=1)
    os.kill(one.helpers["pusher"], signal.SIGSTOP)
    get_saga_orchestrator().start("n", "noop")
    SagaExecution.objects.update(due_at=ago(20), rank_at=ago(20))
    with open_transaction(*LOCK):
        os.kill(one.helpers["pusher"], signal.SIGCONT)
        assert stays(lambda: "cluster.replaced" not in one.said, 22)

    assert get_saga_orchestrator().wait("n", 30).state is SagaState.SUCCEEDED
    assert "cluster.replaced" not in one.said


def test_workers_of_another_container_with_our_host_name_are_ignored(cluster):
    one = cluster("saga_workers")
    theirs = {"host": HOST, "pid": 2**22 + 1, "process_group": one.group, "cluster": "theirs"}
    SagaWorker.objects.create(name=f"{HOST}:2:theirs", started_at=Now(), seen_at=Now(), free=8, **theirs)

    assert stays(lambda: "cluster.replaced" not in one.said, 3)
    assert one.stop() == 0
    assert SagaWorker.objects.filter(cluster="theirs").exists()


def test_a_worker_that_leaves_while_the_database_hangs_is_no_crash(cluster):
    one = cluster("saga_workers")
    group, leaver = one.group, one.workers[0]
    with open_transaction(*LOCK_ALL):
        os.kill(leaver, signal.SIGTERM)
        wait_for(lambda: leaver not in parents_in_group(group))
        assert stays(lambda: "cluster.replaced" not in one.said, 2)

    wait_for(lambda: len(one.workers) == 2 and leaver not in one.workers)
    assert one.group == group


@pytest.mark.parametrize("parent", ["well", "hanging"])
def test_sigterm_lets_attempts_end_and_starts_no_others(cluster, parent):
    one = cluster("saga_workers", workers=1, WORKER_THREADS=1, DRAIN_SECONDS=30)
    for number in range(2):
        get_saga_orchestrator().start(f"n-{number}", "nap", context={"seconds": 5.0})
    wait_for(lambda: SagaExecution.objects.filter(leased=True).exists())
    if parent == "hanging":
        os.kill(one.group, signal.SIGSTOP)

    assert one.stop() == 0

    assert [run.outcome for run in StepRun.objects.all()] == ["succeeded"]
    assert sorted(SagaExecution.objects.values_list("state", flat=True)) == ["pending", "succeeded"]
    assert not parents_in_group(one.group)


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux lets a process other than the first reap orphans")
def test_a_supervisor_that_is_the_first_process_reaps_orphans(cluster):
    one = cluster("saga_workers", interpreter=(sys.executable, "-c", REAPS))
    before = one.group
    os.kill(one.sentinel, signal.SIGKILL)
    wait_for(lambda: worked(one, 2) and one.group != before)

    assert children(one.process.pid) == [one.group]


def children(pid):
    """Return the ids of the process's children, including zombies."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_programs_of_a_step_do_not_inherit_our_standard_library(cluster):
    cluster("saga_workers", workers=1)
    get_saga_orchestrator().start("r", "reveal")
    execution = get_saga_orchestrator().wait("r", 30)

    paths = [Path(path) for path in execution.step_runs.get().output["PYTHONPATH"].split(os.pathsep)]

    assert ROOT in paths
    assert not [path for path in paths if (path / "os.py").exists() or (path / "django").exists()]


def test_no_process_outlives_the_sentinel_without_a_supervisor(cluster):
    one = cluster("qcluster")
    group = one.group

    os.kill(one.sentinel, signal.SIGKILL)

    wait_for(lambda: not parents_in_group(group))
