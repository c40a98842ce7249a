"""Supervised clusters that the soak restarts, as systemd does, when their supervisor is killed."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

from sagas.worker.supervision.processes import parents_in_group
from tests.support.clusters import ClusterUnderTest

from .database import retry
from .limits import LEASE, POLL

WORKERS = 2
THREADS = 6
SETTINGS = {
    "LEASE": LEASE,
    "POLL": POLL,
    "WORKER_THREADS": THREADS,
    "DRAIN_SECONDS": 4,
    # No step crashes its process here, and some executions lose their worker many times.
    "MAX_RECOVERIES": 20,
}


class RestartedCluster:
    """A cluster run by `manage.py saga_workers`; `restart_if_ended` starts the cluster again."""

    def __init__(self, name: str, provider: int) -> None:
        self.name = name
        self.restarts = 0
        self.gave_up: list[int] = []
        self._environment = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "CHAOS_PROVIDER": str(provider)}
        self._started: list[ClusterUnderTest] = []
        self._groups: set[int] = set()
        self._start()

    @property
    def current(self) -> ClusterUnderTest:
        """The cluster that was started last."""
        return self._started[-1]

    def restart_if_ended(self) -> None:
        """Start the cluster again if its supervisor has ended; record the exit code unless it was killed."""
        code = self.current.process.poll()
        if code is None:
            return
        if code >= 0:
            self.gave_up.append(code)
        self.restarts += 1
        self._start()

    def victims(self) -> Victims | None:
        """Return the cluster's processes by kind, or None if one of them cannot be identified for certain."""
        try:
            return retry(self._victims)
        except (LookupError, ValueError, StopIteration):
            return None

    def is_alive(self, pid: int) -> bool:
        """Return whether this cluster has a running process with this id."""
        return pid == self.current.process.pid or any(pid in parents_in_group(group) for group in self._groups)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        return self.current.stop()

    def leave(self) -> None:
        """Kill all processes of the cluster."""
        for cluster in self._started:
            if cluster.process.poll() is None:
                cluster.process.kill()
            cluster.process.wait(10)
            cluster.log.close()
        for group in self._groups:
            if parents_in_group(group):
                os.killpg(group, signal.SIGKILL)

    def write_logs(self, folder: Path) -> None:
        """Write the cluster's output since the first start."""
        (folder / f"{self.name}.log").write_text("".join(cluster.said for cluster in self._started))

    def _start(self) -> None:
        self._groups = {group for group in self._groups if parents_in_group(group)}
        self._started.append(
            ClusterUnderTest(
                "saga_workers",
                workers=WORKERS,
                name=self.name,
                recycle=100_000,
                environment=self._environment,
                settings=SETTINGS,
            )
        )

    def _victims(self) -> Victims | None:
        cluster, supervisor = self.current, self.current.process.pid
        group = cluster.group
        # Process ids are reused: check that this cluster's supervisor is the parent of the group's leader.
        if not group or parents_in_group(group).get(group) != supervisor:
            return None
        self._groups.add(group)
        helpers, workers = cluster.helpers, cluster.workers
        if not workers:
            return None
        return Victims(workers, helpers["pusher"], helpers["monitor"], cluster.sentinel, group, supervisor)


@dataclass(frozen=True)
class Victims:
    """The processes of a working cluster."""

    workers: list[int]
    pusher: int
    monitor: int
    sentinel: int
    parent: int
    supervisor: int

    def of_kind(self, kind: str, rng: random.Random) -> int:
        """Return the id of a process of this kind."""
        pid: int = rng.choice(self.workers) if kind == "worker" else getattr(self, kind)
        return pid
