"""A chaos monkey that kills and pauses the clusters' processes, kills the provider and restarts the database."""

from __future__ import annotations

import datetime as dt
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.clusters import signal_to

from .clusters import RestartedCluster
from .limits import LEASE
from .outside import Provider
from .recoveries import Loss, held_by

PROVIDER = "provider"
KILLS = {"worker": 50, "pusher": 8, "monitor": 8, "sentinel": 10, "parent": 10, "supervisor": 10, PROVIDER: 4}
PAUSES = {"worker": 80, "pusher": 5, "monitor": 5, "sentinel": 5, "supervisor": 5}
PAUSE_LASTS = (1.2 * LEASE, 3 * LEASE)
# Faults happen only between these fractions of the soak's duration, while the clusters have work.
FAULTS_BETWEEN = (0.03, 0.97)


@dataclass(order=True)
class Fault:
    """A fault to cause, `at` seconds after the beginning of the soak."""

    at: float
    what: str
    kind: str = ""


@dataclass
class Paused:
    """A stopped process and the time at which it continues."""

    cluster: RestartedCluster
    pid: int
    until: float


@dataclass
class Monkey:
    """A source of faults that counts them by kind."""

    clusters: Sequence[RestartedCluster]
    provider: Provider
    restart: Callable[[int], None] | None
    rng: random.Random
    ordered: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    killed: list[Loss] = field(default_factory=list)
    stopped: list[Loss] = field(default_factory=list)
    paused: list[Paused] = field(default_factory=list)

    def plan(self, seconds: float, *, kills: int, pauses: int, restarts: int) -> list[Fault]:
        """Return faults of these kinds at random times."""
        first, last = (part * seconds for part in FAULTS_BETWEEN)
        kinds = self.rng.choices(list(KILLS), list(KILLS.values()), k=kills)
        faults = [Fault(self.rng.uniform(first, last), "kill", kind) for kind in kinds]
        kinds = self.rng.choices(list(PAUSES), list(PAUSES.values()), k=pauses)
        faults += [Fault(self.rng.uniform(first, last), "pause", kind) for kind in kinds]
        if self.restart:
            faults += [Fault(self.rng.uniform(first, last), "restart") for _ in range(restarts)]
        self.ordered.update(_name(fault) for fault in faults)
        return sorted(faults)

    def do(self, fault: Fault) -> bool:
        """Cause the fault. Return False if that is impossible now, because no cluster has the process."""
        done = {"kill": self._kill, "pause": self._pause, "restart": self._restart}[fault.what](fault.kind)
        self.done[_name(fault)] += done
        return done

    def pause_to_the_end(self) -> None:
        """Pause one worker of each working cluster until `resume` is called."""
        for cluster in self.clusters:
            self._stop(cluster, "worker", float("inf"))

    def resume(self, *, everything: bool = False) -> list[int]:
        """Continue the processes that have been paused long enough; return the ids of those that still run."""
        over = [paused for paused in self.paused if everything or paused.until <= time.monotonic()]
        self.paused = [paused for paused in self.paused if paused not in over]
        alive = [paused.pid for paused in over if paused.cluster.is_alive(paused.pid)]
        for pid in alive:
            signal_to(pid, signal.SIGCONT)
        self.done["resumed"] += len(alive)
        return alive

    def _kill(self, kind: str) -> bool:
        if kind == PROVIDER:
            self.provider.kill()
            return True
        for cluster in self._shuffled():
            if victims := cluster.victims():
                pid = victims.of_kind(kind, self.rng)
                at = dt.datetime.now(dt.UTC)
                signal_to(pid, signal.SIGKILL)
                self.killed += held_by(pid, at)
                cluster.restart_if_ended()
                return True
        return False

    def _pause(self, kind: str) -> bool:
        until = time.monotonic() + self.rng.uniform(*PAUSE_LASTS)
        return any(self._stop(cluster, kind, until) for cluster in self._shuffled())

    def _stop(self, cluster: RestartedCluster, kind: str, until: float) -> bool:
        victims = cluster.victims()
        if victims is None:
            return False
        pid = victims.of_kind(kind, self.rng)
        at = dt.datetime.now(dt.UTC)
        signal_to(pid, signal.SIGSTOP)
        self.stopped += held_by(pid, at)
        self.paused.append(Paused(cluster, pid, until))
        return True

    def _restart(self, _: str) -> bool:
        self.restart(self.done["restart"])
        return True

    def _shuffled(self) -> list[RestartedCluster]:
        return self.rng.sample(list(self.clusters), len(self.clusters))


def _name(fault: Fault) -> str:
    return f"{fault.what} {fault.kind}".strip()
