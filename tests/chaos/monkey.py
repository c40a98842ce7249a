"""Kills and pauses processes of the clusters, and nothing else; kills the provider and restarts the database."""

from __future__ import annotations

import datetime as dt
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.clusters import signal_to

from .clusters import KeptCluster
from .limits import LEASE
from .outside import Provider
from .recoveries import Loss, held_by

PROVIDER = "provider"
KILLS = {"worker": 50, "pusher": 8, "monitor": 8, "sentinel": 10, "parent": 10, "supervisor": 10, PROVIDER: 4}
PAUSES = {"worker": 80, "pusher": 5, "monitor": 5, "sentinel": 5, "supervisor": 5}
PAUSE_LASTS = (1.2 * LEASE, 3 * LEASE)
# The first acts come when the clusters have something in hand, the last while they still have.
ACTS_BETWEEN = (0.03, 0.97)


@dataclass(order=True)
class Act:
    """Something to be done, so many seconds after the beginning."""

    at: float
    what: str
    kind: str = ""


@dataclass
class Paused:
    """A process that was stopped, until when."""

    cluster: KeptCluster
    pid: int
    until: float


@dataclass
class Monkey:
    """What it has done is counted: kills by kind, pauses, restarts."""

    clusters: Sequence[KeptCluster]
    provider: Provider
    restart: Callable[[int], None] | None
    luck: random.Random
    ordered: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    killed: list[Loss] = field(default_factory=list)
    stopped: list[Loss] = field(default_factory=list)
    paused: list[Paused] = field(default_factory=list)

    def plan(self, seconds: float, *, kills: int, pauses: int, restarts: int) -> list[Act]:
        """So many acts, spread over the time, as the luck has it."""
        first, last = (part * seconds for part in ACTS_BETWEEN)
        kinds = self.luck.choices(list(KILLS), list(KILLS.values()), k=kills)
        acts = [Act(self.luck.uniform(first, last), "kill", kind) for kind in kinds]
        kinds = self.luck.choices(list(PAUSES), list(PAUSES.values()), k=pauses)
        acts += [Act(self.luck.uniform(first, last), "pause", kind) for kind in kinds]
        if self.restart:
            acts += [Act(self.luck.uniform(first, last), "restart") for _ in range(restarts)]
        self.ordered.update(_name(act) for act in acts)
        return sorted(acts)

    def do(self, act: Act) -> bool:
        """Whether it could be done now: only a cluster that works has victims."""
        done = {"kill": self._kill, "pause": self._pause, "restart": self._restart}[act.what](act.kind)
        self.done[_name(act)] += done
        return done

    def pause_to_the_end(self) -> None:
        """One worker of each cluster that works, until `let_go`."""
        for cluster in self.clusters:
            self._stop(cluster, "worker", float("inf"))

    def let_go(self, *, all_of_them: bool = False) -> list[int]:
        """Those whose pause is over; the process ids of those that still live."""
        over = [paused for paused in self.paused if all_of_them or paused.until <= time.monotonic()]
        self.paused = [paused for paused in self.paused if paused not in over]
        alive = [paused.pid for paused in over if paused.cluster.is_alive(paused.pid)]
        for pid in alive:
            signal_to(pid, signal.SIGCONT)
        self.done["let go alive"] += len(alive)
        return alive

    def _kill(self, kind: str) -> bool:
        if kind == PROVIDER:
            self.provider.kill()
            return True
        for cluster in self._shuffled():
            if victims := cluster.victims():
                pid = victims.of_kind(kind, self.luck)
                at = dt.datetime.now(dt.UTC)
                signal_to(pid, signal.SIGKILL)
                self.killed += held_by(pid, at)
                cluster.keep()
                return True
        return False

    def _pause(self, kind: str) -> bool:
        until = time.monotonic() + self.luck.uniform(*PAUSE_LASTS)
        return any(self._stop(cluster, kind, until) for cluster in self._shuffled())

    def _stop(self, cluster: KeptCluster, kind: str, until: float) -> bool:
        victims = cluster.victims()
        if victims is None:
            return False
        pid = victims.of_kind(kind, self.luck)
        at = dt.datetime.now(dt.UTC)
        signal_to(pid, signal.SIGSTOP)
        self.stopped += held_by(pid, at)
        self.paused.append(Paused(cluster, pid, until))
        return True

    def _restart(self, _: str) -> bool:
        self.restart(self.done["restart"])
        return True

    def _shuffled(self) -> list[KeptCluster]:
        return self.luck.sample(list(self.clusters), len(self.clusters))


def _name(act: Act) -> str:
    return f"{act.what} {act.kind}".strip()
