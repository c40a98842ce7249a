"""Keeps a cluster running: django-q2 survives the death of some of its processes, and hangs after that of others.

A worker that is killed while it waits for the bell takes the queue's lock with it, and the rest wait for ever. Nobody
can tell from outside which death was of that kind, so after each the whole process group is replaced; what was in
hand is parked or runs out its lease.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import Sum

from sagas import database
from sagas.conf import get_settings
from sagas.logs import log
from sagas.models import SagaExecution, SagaWorker
from sagas.querysets import ago
from sagas.registry import all_sagas
from sagas.tenure import HOST

from .broker import LIFELINE
from .processes import parents_in_group

LOOK_EVERY = 0.5
OVERDUE = 10.0
YOUNG = 10.0
BEYOND_THE_DRAIN = 3.0
TO_BE_TOLD = 2.0
TO_END = 1.0
PAUSE = 0.05
IN_VAIN = 5
KEEPERS = 3  # the sentinel, the monitor and the pusher


class CannotHelp(Exception):
    """The cluster ends again and again before it has done anything."""


@dataclass
class Cluster:
    """A cluster we started: its parent process, which leads the group, and what we have seen of the others."""

    leader: subprocess.Popen[bytes]
    lifeline: int
    started: float = field(default_factory=time.monotonic)
    members: dict[int, int] = field(default_factory=dict)
    workers: set[int] = field(default_factory=set)
    keepers: set[int] = field(default_factory=set)
    claims: int | None = None
    deaf_since: float = field(default_factory=time.monotonic)
    silent_since: float = math.inf

    @property
    def group(self) -> int:
        """The process group's id."""
        return self.leader.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def rows(self) -> Any:
        """What its workers last reported."""
        return SagaWorker.objects.using(database.alias()).filter(host=HOST, process_group=self.group)


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
            cluster = self._start()
            try:
                trouble = self._watch(cluster)
            finally:
                self._end(cluster)
            if trouble:
                log(logging.ERROR, "cluster.replaced", reason=trouble)
                self._count(cluster, trouble)

    def _start(self) -> Cluster:
        inherited, lifeline = os.pipe()
        environment = os.environ | {LIFELINE: str(inherited), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        leader = subprocess.Popen(  # noqa: S603  (our own interpreter and command)
            self._command, start_new_session=True, pass_fds=[inherited], env=environment
        )
        os.close(inherited)
        log(logging.INFO, "cluster.started", pid=leader.pid)
        cluster = Cluster(leader, lifeline)
        # In a container that starts again, host and process ids are those of the dead.
        self._asked(lambda: cluster.rows().delete(), None)
        return cluster

    def _watch(self, cluster: Cluster) -> str:
        """Why it cannot be trusted any more; "" when we were told to stop."""
        while not self._told:
            time.sleep(LOOK_EVERY)
            trouble = self._trouble(cluster)
            if trouble:
                return trouble
        return ""

    def _trouble(self, cluster: Cluster) -> str:
        if cluster.leader.poll() is not None:
            return f"the cluster ended by itself, with code {cluster.leader.returncode}"
        trouble = self._trouble_in_group(cluster) or self._trouble_in_reports(cluster)
        if not trouble and not cluster.keepers and cluster.workers:
            self._get_to_know(cluster)
        return trouble

    def _get_to_know(self, cluster: Cluster) -> None:
        """Once all workers have reported themselves, the rest are the three that never do and never leave."""
        keepers = set(_helpers(cluster.members, cluster.group)) - cluster.workers
        if len(keepers) == KEEPERS:
            cluster.keepers = keepers
            log(logging.INFO, "cluster.working", pid=cluster.group, workers=len(cluster.workers))

    def _trouble_in_group(self, cluster: Cluster) -> str:
        cluster.members = parents_in_group(cluster.group)
        for pid in cluster.members.keys() & (cluster.keepers | cluster.workers):
            if cluster.members[pid] not in cluster.members:
                return f"process {pid} has lost its parent"
        return next((f"process {pid} died" for pid in cluster.keepers - cluster.members.keys()), "")

    def _trouble_in_reports(self, cluster: Cluster) -> str:
        """Whoever could not ask for a while does not know whether the workers could: their reports get time again."""
        trouble: str | None = self._asked(lambda: self._reported_trouble(cluster), None)
        if trouble is None:
            cluster.deaf_since, cluster.silent_since = time.monotonic(), math.inf
        return trouble or ""

    def _reported_trouble(self, cluster: Cluster) -> str:
        rows = cluster.rows()
        reported = set(rows.values_list("pid", flat=True))
        cluster.workers |= reported
        # Asked anew, for some may have been born since. Who leaves in peace, to be recycled, takes its row with it.
        if gone := reported - cluster.members.keys() - parents_in_group(cluster.group).keys():
            return f"process {min(gone)} died"
        silent: SagaWorker | None = rows.filter(seen_at__lt=ago(SagaWorker.UNSEEN)).first()
        cluster.silent_since = min(cluster.silent_since, time.monotonic()) if silent else math.inf
        if silent and time.monotonic() > cluster.silent_since + OVERDUE:
            return f"worker {silent.pid} has not been seen for {SagaWorker.UNSEEN:g} s"
        if cluster.age > YOUNG and self._is_deaf(cluster, rows):
            return f"nothing was claimed for {OVERDUE:g} s, although work was due and threads were free"
        return ""

    def _is_deaf(self, cluster: Cluster, rows: Any) -> bool:
        """Whether, at each look for so long, threads were free, work was due that anybody may take, and nobody did."""
        executions = SagaExecution.objects.using(database.alias()).of_sagas(all_sagas())
        of = rows.filter(draining=False).aggregate(free=Sum("free"), claims=Sum("claims"), running=Sum("running"))
        # Those who died often are taken one at a time: while something runs they may have to wait.
        neglected = executions.neglected(OVERDUE) if of["running"] else executions.due(OVERDUE)
        idle = of["free"] and neglected.exists()
        if not idle or of["claims"] != cluster.claims:
            cluster.claims, cluster.deaf_since = of["claims"], time.monotonic()
        return time.monotonic() > cluster.deaf_since + OVERDUE

    def _asked(self, question: Any, otherwise: Any) -> Any:
        """What the database says, or `otherwise` while it cannot be asked."""
        try:
            return question()
        except DatabaseError as error:
            log(logging.WARNING, "supervisor.blind", error_type=type(error).__name__)
            connections[database.alias()].close()
            return otherwise

    def _end(self, cluster: Cluster) -> None:
        """SIGTERM to the parent alone, which lets attempts end; SIGKILL to the group once the drain is over."""
        self._asked(lambda: cluster.workers.update(cluster.rows().values_list("pid", flat=True)), None)
        if cluster.leader.poll() is None:
            cluster.leader.terminate()
        self._wait_for_drain(cluster, time.monotonic() + get_settings().DRAIN_SECONDS + BEYOND_THE_DRAIN)
        _kill(cluster.group)
        cluster.leader.wait()
        os.close(cluster.lifeline)
        self._asked(lambda: cluster.rows().delete(), None)
        log(logging.INFO, "cluster.ended", pid=cluster.group, code=cluster.leader.returncode)

    def _wait_for_drain(self, cluster: Cluster, give_up: float) -> None:
        """Until the group is gone, or is a rest without workers that does not go by itself."""
        tell = time.monotonic() + TO_BE_TOLD
        kill = give_up
        while (members := parents_in_group(cluster.group)) and time.monotonic() < min(kill, give_up):
            workers = cluster.workers & members.keys()
            if not workers:
                kill = min(kill, time.monotonic() + TO_END)
            elif time.monotonic() > tell:
                tell = give_up
                for pid in workers:  # their sentinel may hang, or be dead
                    _signal(pid, signal.SIGTERM)
            cluster.leader.poll()
            time.sleep(PAUSE)

    def _count(self, cluster: Cluster, trouble: str) -> None:
        """Once it has worked, it is started again for ever; one that never comes to work is not helped by that."""
        self._vain = 0 if cluster.workers else self._vain + 1
        if self._vain >= IN_VAIN:
            raise CannotHelp(f"The cluster did not come to work {IN_VAIN} times in a row; the last time, {trouble}.")
        time.sleep(self._vain)


def _helpers(members: dict[int, int], leader: int) -> list[int]:
    """The sentinel, and its children: workers, pusher, monitor. What steps start is not ours to judge."""
    sentinels = {pid for pid, parent in members.items() if parent == leader}
    return [pid for pid, parent in members.items() if pid in sentinels or parent in sentinels]


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
