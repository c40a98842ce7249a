"""Keeps a cluster running: django-q2 survives the death of some of its processes, and hangs after that of others.

A worker that is killed while it waits for the bell takes the queue's lock with it, and the rest wait for ever. Nobody
can tell from outside which death was of that kind, so after each the whole process group is replaced; what was in
hand is parked or runs out its lease.
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

from .broker import LIFELINE
from .knowledge import Knowledge
from .processes import parents_in_group
from .reports import REPORTS, Reports
from .watching import Cluster

LOOK_EVERY = 0.5
BEYOND_THE_DRAIN = 3.0
TO_BE_TOLD = 2.0
TO_END = 1.0
TO_CLEAN_UP = 1.0
PAUSE = 0.05
IN_VAIN = 5
PYTHONS_OWN = ("stdlib", "platstdlib", "purelib", "platlib")


class CannotHelp(Exception):
    """The cluster ends again and again before it has done anything."""


class Supervisor:
    """Starts a cluster, replaces it whenever it cannot be trusted any more, and stops it when told to."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        # Not an Event: a signal's handler that sets one may find its own thread waiting for it.
        self._told = False
        self._vain = 0

    def stop(self) -> None:
        """End the cluster in peace, and `run`."""
        self._told = True

    def run(self) -> None:
        """Until `stop`; CannotHelp when a cluster does not come to work."""
        while not self._told:
            inherited, lifeline = os.pipe()
            cluster = self._start(inherited)
            try:
                trouble = self._watch(cluster)
            finally:
                self._end(cluster, lifeline)
            if trouble:
                log(logging.ERROR, "cluster.replaced", reason=trouble)
                self._count(cluster, trouble)

    def _start(self, inherited: int) -> Cluster:
        reports = Reports()
        environment = os.environ | {
            LIFELINE: str(inherited),
            REPORTS: str(reports.line),
            "PYTHONPATH": os.pathsep.join(_paths_of_the_project()),
        }
        leader = subprocess.Popen(  # noqa: S603  (our own interpreter and command)
            self._command, start_new_session=True, pass_fds=[inherited, reports.line], env=environment
        )
        os.close(inherited)
        reports.handed_over()
        log(logging.INFO, "cluster.started", pid=leader.pid)
        return Cluster(leader, reports)

    def _watch(self, cluster: Cluster) -> str:
        """Why it cannot be trusted any more; "" when we were told to stop."""
        told_of_it = False
        while not self._told:
            time.sleep(LOOK_EVERY)
            trouble = cluster.trouble()
            if trouble:
                return trouble
            if cluster.known.has_worked and not told_of_it:
                told_of_it = True
                log(logging.INFO, "cluster.working", pid=cluster.group, workers=len(cluster.known.workers))
        return ""

    def _end(self, cluster: Cluster, lifeline: int) -> None:
        """SIGTERM to the parent alone, which lets attempts end; SIGKILL to the group once the drain is over."""
        if cluster.leader.poll() is None:
            cluster.leader.terminate()
        self._wait_for_drain(cluster, time.monotonic() + get_settings().DRAIN_SECONDS + BEYOND_THE_DRAIN)
        _kill(cluster.group)
        cluster.leader.wait()
        _reap(cluster.group)
        os.close(lifeline)
        cluster.end()
        _forget(cluster.known.names)
        log(logging.INFO, "cluster.ended", pid=cluster.group, code=cluster.leader.returncode)

    def _wait_for_drain(self, cluster: Cluster, give_up: float) -> None:
        """Until the group is gone, or is a rest without workers that does not go by itself."""
        tell = time.monotonic() + TO_BE_TOLD
        kill = give_up
        while parents_in_group(cluster.group) and time.monotonic() < min(kill, give_up):
            cluster.look()
            if not cluster.known.hands:
                kill = min(kill, time.monotonic() + TO_END)
            elif time.monotonic() > tell and cluster.known.unaware:
                tell = give_up
                _tell_to_leave(cluster.known)
            cluster.leader.poll()
            time.sleep(PAUSE)

    def _count(self, cluster: Cluster, trouble: str) -> None:
        """Once it has worked, it is started again for ever; one that never comes to work is not helped by that."""
        self._vain = 0 if cluster.known.has_worked else self._vain + 1
        if self._vain >= IN_VAIN:
            raise CannotHelp(f"The cluster did not come to work {IN_VAIN} times in a row; the last time, {trouble}.")
        time.sleep(self._vain)


def _paths_of_the_project() -> list[str]:
    """Where our code is found; not Python's own, which would be in the way of another Python that a step starts."""
    pythons = (*(sysconfig.get_path(name) for name in PYTHONS_OWN), site.getusersitepackages(), *site.getsitepackages())
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return [path for path in sys.path if path and not path.startswith(pythons) and not path.endswith(archive)]


def _tell_to_leave(known: Knowledge) -> None:
    """Their sentinel has not, for it hangs, or its parent does; so it must not put others in their place."""
    if known.sentinel in known.members:
        _signal(known.sentinel, signal.SIGKILL)
    for pid in known.unaware:
        _signal(pid, signal.SIGTERM)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(group: int) -> None:
    """Who has lost its parent is ours to bury where we are the first process, as in a container."""
    give_up = time.monotonic() + TO_END
    while parents_in_group(group) and time.monotonic() < give_up:
        time.sleep(PAUSE)
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            log(logging.DEBUG, "process.buried", group=group)


def _forget(names: list[str]) -> None:
    """Those that were killed left their rows behind; whoever cannot reach the database now leaves that to others."""

    def delete() -> None:
        with suppress(DatabaseError):
            SagaWorker.objects.using(database.alias()).filter(name__in=names).delete()
        connections.close_all()

    forgetting = threading.Thread(target=delete, name="sagas-forget", daemon=True)
    forgetting.start()
    forgetting.join(TO_CLEAN_UP)
