"""Supervised clusters that are started again when their supervisor dies, as systemd would; and who is in them."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

from sagas.worker.supervision.processes import parents_in_group
from tests.support.clusters import ClusterUnderTest

from .database import insist
from .limits import LEASE, POLL

WORKERS = 2
THREADS = 6
SETTINGS = {
    "LEASE": LEASE,
    "POLL": POLL,
    "WORKER_THREADS": THREADS,
    "DRAIN_SECONDS": 4,
    # It is never a step that takes its process down here, and some lose it again and again.
    "MAX_RECOVERIES": 20,
}


class KeptCluster:
    """`manage.py saga_workers` under a name; `keep` starts it again if it has ended."""

    def __init__(self, name: str, provider: int) -> None:
        self.name = name
        self.started_again = 0
        self.gave_up: list[int] = []
        self._environment = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "CHAOS_PROVIDER": str(provider)}
        self._former: list[ClusterUnderTest] = []
        self._groups: set[int] = set()
        self._start()

    @property
    def now(self) -> ClusterUnderTest:
        """The one that was started last."""
        return self._former[-1]

    def keep(self) -> None:
        """Start it again if its supervisor has ended; one that ended by its own decision is remembered."""
        code = self.now.process.poll()
        if code is None:
            return
        if code >= 0:
            self.gave_up.append(code)
        self.started_again += 1
        self._start()

    def victims(self) -> Victims | None:
        """Its processes by what they are; None unless all are known, and known to be ours."""
        try:
            return insist(self._victims)
        except (LookupError, ValueError, StopIteration):
            return None

    def is_alive(self, pid: int) -> bool:
        """Whether it is a process of ours, and lives."""
        return pid == self.now.process.pid or any(pid in parents_in_group(group) for group in self._groups)

    def stop(self) -> int:
        """End it in peace; the exit code."""
        return self.now.stop()

    def leave(self) -> None:
        """Nothing of it is left behind."""
        for former in self._former:
            if former.process.poll() is None:
                former.process.kill()
            former.process.wait(10)
            former.log.close()
        for group in self._groups:
            if parents_in_group(group):
                os.killpg(group, signal.SIGKILL)

    def write_logs(self, folder: Path) -> None:
        """All that it said, from the first start on."""
        (folder / f"{self.name}.log").write_text("".join(former.said for former in self._former))

    def _start(self) -> None:
        self._groups = {group for group in self._groups if parents_in_group(group)}
        self._former.append(
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
        now, supervisor = self.now, self.now.process.pid
        group = now.group
        # Numbers of processes are used again: a group is ours if our supervisor has started its leader.
        if not group or parents_in_group(group).get(group) != supervisor:
            return None
        self._groups.add(group)
        helpers, workers = now.helpers, now.workers
        if not workers:
            return None
        return Victims(workers, helpers["pusher"], helpers["monitor"], now.sentinel, group, supervisor)


@dataclass(frozen=True)
class Victims:
    """The processes of a cluster that works."""

    workers: list[int]
    pusher: int
    monitor: int
    sentinel: int
    parent: int
    supervisor: int

    def of_kind(self, kind: str, luck: random.Random) -> int:
        """One of them."""
        pid: int = luck.choice(self.workers) if kind == "worker" else getattr(self, kind)
        return pid
