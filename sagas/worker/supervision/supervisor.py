"""The supervisor starts a cluster, and replaces the cluster when one of its processes fails.

django-q2 survives some crashes of its processes and hangs after others. For example, a worker that is killed while it
waits for the queue keeps the queue's lock, and the other workers wait forever. The supervisor cannot distinguish these
crashes, so it replaces the whole process group after each of them. Running executions are parked during the drain;
the others are recovered when their leases expire.
"""

from __future__ import annotations

import logging
import os
import signal
import site
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from django.db import Error as DatabaseError
from django.db import connections

from sagas.conf import get_settings
from sagas.engine.logs import log
from sagas.models import SagaWorker
from sagas.storage import database

from .liveness import Liveness
from .processes import parents_in_group
from .supervised_cluster import SupervisedCluster
from .worker_reports import LIFELINE, REPORTS, ReportReader

CHECK_EVERY = 0.5
EXTRA_DRAIN_SECONDS = 3.0
SIGTERM_AFTER = 2.0
EXIT_SECONDS = 1.0
CLEAN_UP_SECONDS = 1.0
PAUSE = 0.05
MAX_FAILED_STARTS = 5
PYTHON_PATHS = ("stdlib", "platstdlib", "purelib", "platlib")


class ClusterNeverReady(Exception):
    """The cluster failed several times in a row before its workers were ready."""

    def __init__(self, times: int, problem: str) -> None:
        super().__init__(f"The cluster failed to start {times} times in a row. The last problem: {problem}.")


class Supervisor:
    """Starts a cluster, replaces it when it fails, and drains it when asked to stop."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        # Not an Event: setting an Event takes a lock, and the thread that a signal handler interrupts may hold it.
        self._stopping = False
        self._failed_starts = 0

    def stop(self) -> None:
        """Make `run` drain the cluster and return. Safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Keep a cluster running until `stop` is called. Raise ClusterNeverReady if it repeatedly fails to start."""
        while not self._stopping:
            inherited, lifeline = os.pipe()
            cluster = self._start(inherited)
            try:
                problem = self._watch(cluster)
            finally:
                self._end(cluster, lifeline)
            if problem:
                log(logging.ERROR, "cluster.replaced", reason=problem)
                # A cluster that has worked is restarted without limit. Only failed starts in a row are limited.
                self._failed_starts = 0 if cluster.liveness.has_worked else self._failed_starts + 1
                if self._failed_starts >= MAX_FAILED_STARTS:
                    raise ClusterNeverReady(MAX_FAILED_STARTS, problem)
                time.sleep(self._failed_starts)

    def _start(self, inherited: int) -> SupervisedCluster:
        reports = ReportReader()
        # Leave out Python's own folders, because a step may start another version of Python.
        python = (
            *(sysconfig.get_path(name) for name in PYTHON_PATHS),
            site.getusersitepackages(),
            *site.getsitepackages(),
        )
        archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
        paths = [path for path in sys.path if path and not path.startswith(python) and not path.endswith(archive)]
        environment = os.environ | {
            LIFELINE: str(inherited),
            REPORTS: str(reports.writing_end),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        leader = subprocess.Popen(  # noqa: S603  (our own interpreter and command)
            self._command, start_new_session=True, pass_fds=[inherited, reports.writing_end], env=environment
        )
        os.close(inherited)
        reports.close_writing_end()
        log(logging.INFO, "cluster.started", pid=leader.pid)
        return SupervisedCluster(leader, reports)

    def _watch(self, cluster: SupervisedCluster) -> str:
        """Wait for a problem or for `stop`. Return the reason to replace the cluster, or "" after `stop`."""
        logged = False
        while not self._stopping:
            time.sleep(CHECK_EVERY)
            problem = cluster.problem()
            if problem:
                return problem
            if cluster.liveness.has_worked and not logged:
                logged = True
                log(logging.INFO, "cluster.working", pid=cluster.group, workers=len(cluster.liveness.workers))
        return ""

    def _end(self, cluster: SupervisedCluster, lifeline: int) -> None:
        """Drain the cluster by SIGTERM to its parent process only, then send SIGKILL to the group."""
        if cluster.leader.poll() is None:
            cluster.leader.terminate()
        self._wait_for_drain(cluster, time.monotonic() + get_settings().DRAIN_SECONDS + EXTRA_DRAIN_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(cluster.group, signal.SIGKILL)
        cluster.leader.wait()
        _reap(cluster.group)
        os.close(lifeline)
        cluster.close()
        _delete_rows(cluster.liveness.names)
        log(logging.INFO, "cluster.ended", pid=cluster.group, code=cluster.leader.returncode)

    def _wait_for_drain(self, cluster: SupervisedCluster, deadline: float) -> None:
        """Wait until the group has ended, at most until the deadline.

        When no worker is left, the other processes have EXIT_SECONDS to end.
        """
        sigterm_at = time.monotonic() + SIGTERM_AFTER
        kill_at = deadline
        while parents_in_group(cluster.group) and time.monotonic() < min(kill_at, deadline):
            cluster.refresh()
            if not cluster.liveness.possible_workers:
                kill_at = min(kill_at, time.monotonic() + EXIT_SECONDS)
            elif time.monotonic() > sigterm_at and cluster.liveness.not_draining:
                sigterm_at = deadline
                _drain_workers(cluster.liveness)
            cluster.leader.poll()
            time.sleep(PAUSE)


def _drain_workers(liveness: Liveness) -> None:
    """Send SIGTERM to each worker directly, because the sentinel or its parent hangs.

    Kill the sentinel first, so that it does not replace the workers.
    """
    signals = {liveness.sentinel: signal.SIGKILL} if liveness.sentinel in liveness.members else {}
    signals |= dict.fromkeys(liveness.not_draining, signal.SIGTERM)
    for pid, number in signals.items():
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap(group: int) -> None:
    """Reap the orphans of the group. They are children of this process if it is process 1, as in a container."""
    deadline = time.monotonic() + EXIT_SECONDS
    while parents_in_group(group) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            log(logging.DEBUG, "process.reaped", group=group)


def _delete_rows(names: list[str]) -> None:
    """Delete the rows of killed workers. If the database hangs, do not wait: other workers delete the rows later."""

    def delete() -> None:
        with suppress(DatabaseError):
            SagaWorker.objects.using(database.alias()).filter(name__in=names).delete()
        connections.close_all()

    thread = threading.Thread(target=delete, name="sagas-clean-up", daemon=True)
    thread.start()
    thread.join(CLEAN_UP_SECONDS)
