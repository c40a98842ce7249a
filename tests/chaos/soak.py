"""The soak from its first start to its verdict; Django is set up, and the database is ours."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Count, Sum

from sagas.models import SagaExecution, SagaWorker
from sagas.models.querysets import ago

from . import judge
from .clients import Clients, orders
from .clusters import KeptCluster
from .database import Database, insist
from .limits import LEASE, POLL, TIMEOUT
from .monkey import Act, Monkey
from .outside import Provider
from .recoveries import recovery_times

Tell = Callable[[str], None]

CLUSTERS = 3
TICK = 0.05
PROGRESS_EVERY = 15.0
# No wait that the faults leave behind is longer than a lease, or than the two time-outs after which a doubt is looked
# into; the rest is for clusters that are just being started, on a machine that may have other things to do.
STANDSTILL = 2 * (LEASE + 2 * POLL + 2 * TIMEOUT) + 30


@dataclass(frozen=True)
class Options:
    """How much, how long and how bad; `seconds` is how long sagas are started and things happen."""

    sagas: int
    seconds: float
    kills: int
    pauses: int
    restarts: int
    faults: float
    seed: str


@dataclass
class Verdict:
    """What the table tells."""

    options: Options
    states: Counter[str] = field(default_factory=Counter)
    sagas: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[int, int]] = field(default_factory=dict)
    recovered: dict[str, list[float]] = field(default_factory=dict)
    attention: Counter[str] = field(default_factory=Counter)
    by_hand: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    started_again: int = 0
    late_letters: int = 0
    settled_in: float = 0.0
    seconds: float = 0.0


def soak(options: Options, database: Database, folder: Path, logs: Path | None, tell: Tell) -> Verdict:
    """Run it all, judge it, and leave nothing behind but the clusters' logs, if somebody wants them."""
    began = time.monotonic()
    verdict = Verdict(options)
    with _stage(options, folder) as (provider, clusters):
        monkey = Monkey(clusters, provider, database.restart, random.Random(f"{options.seed}:monkey"))
        Run(options, monkey, verdict, tell).all()
        _judge(verdict, monkey)
        if logs and (verdict.violations or verdict.by_hand):
            for cluster in clusters:
                cluster.write_logs(logs)
    verdict.seconds = time.monotonic() - began
    return verdict


@contextmanager
def _stage(options: Options, folder: Path) -> Iterator[tuple[Provider, list[KeptCluster]]]:
    provider = Provider(folder, options.seed, options.faults)
    clusters: list[KeptCluster] = []
    try:
        clusters += [KeptCluster(f"chaos-{number}", provider.port) for number in range(CLUSTERS)]
        for cluster in clusters:
            cluster.now.wait_until_it_works()
        yield provider, clusters
    finally:
        for cluster in clusters:
            cluster.leave()
        provider.leave()


class Run:
    """The time in which things happen, and the time in which all must end by itself."""

    def __init__(self, options: Options, monkey: Monkey, verdict: Verdict, tell: Tell) -> None:
        self.options, self.monkey, self.verdict, self.tell = options, monkey, verdict, tell
        self._progress_at = 0.0
        self._began = time.monotonic()
        luck = random.Random(f"{options.seed}:clients")
        self._clients = Clients(orders(options.sagas, options.seconds, luck))

    def all(self) -> None:
        """Faults; calm; then those that were paused are let go, and what was on its way arrives."""
        try:
            self._cause_havoc()
            # On SQLite a process that is paused in a transaction keeps all others waiting.
            if connection.vendor != "sqlite":
                self.monkey.pause_to_the_end()
            self.monkey.provider.calm()
            self._settle()
            # A letter of somebody who was killed may still be in hand: the window that letters leave open.
            self._wait_for(lambda: not self.monkey.provider.is_answering())
            before = judge.snapshot(self.monkey.provider)
            self._wake_everybody()
            self.verdict.violations += judge.changes(before, judge.snapshot(self.monkey.provider))
            self.verdict.violations += [*self._clients.objections, *judge.double_starts(self._clients.started)]
        finally:
            self._clients.leave()

    def _cause_havoc(self) -> None:
        options = self.options
        acts = self.monkey.plan(options.seconds, kills=options.kills, pauses=options.pauses, restarts=options.restarts)
        while acts or not self._clients.done:
            now = time.monotonic() - self._began
            acts = self._do_what_is_due(acts, now)
            self._tick()

    def _do_what_is_due(self, acts: list[Act], now: float) -> list[Act]:
        """What is still to be done: one act at a time, and later what could not be done now."""
        due = next((act for act in acts if act.at <= now), None)
        if due is None:
            return acts
        rest = [act for act in acts if act is not due]
        if not self.monkey.do(due):
            rest.append(Act(now + POLL, due.what, due.kind))
        return sorted(rest)

    def _settle(self) -> None:
        """I9: from now on all ends by itself; what does not, while nothing moves any more, the judge will find."""
        calm = moved_at = time.monotonic()
        seen: Any = None
        while time.monotonic() < moved_at + STANDSTILL:
            now = insist(_where_all_stand)
            if not now["unfinished"]:
                break
            if now != seen:
                seen, moved_at = now, time.monotonic()
            self._tick()
        self.verdict.settled_in = time.monotonic() - calm

    def _wake_everybody(self) -> None:
        """Until those that had been paused have told that they have nothing in hand, and no request is on its way."""
        woken = self.monkey.let_go(all_of_them=True)
        at = insist(lambda: SagaExecution.objects.annotate(now=ago(0)).values_list("now", flat=True).first())
        heard = SagaWorker.objects.filter(pid__in=woken, seen_at__gt=at, running=0)
        self._wait_for(lambda: len({*heard.values_list("pid", flat=True)}) >= len(self._alive(woken)))
        self.monkey.provider.deliver()
        self._wait_for(self.monkey.provider.is_idle)

    def _alive(self, pids: list[int]) -> list[int]:
        return [pid for pid in pids if any(cluster.is_alive(pid) for cluster in self.monkey.clusters)]

    def _wait_for(self, condition: Callable[[], Any]) -> None:
        while not insist(condition):
            self._tick()

    def _tick(self) -> None:
        for cluster in self.monkey.clusters:
            cluster.keep()
        self.monkey.let_go()
        if time.monotonic() >= self._progress_at:
            self._progress_at = time.monotonic() + PROGRESS_EVERY
            self.tell(insist(self._progress))
        time.sleep(TICK)

    def _progress(self) -> str:
        ended, all_of_them = SagaExecution.objects.finished().count(), SagaExecution.objects.count()
        done = self.monkey.done
        kills = sum(count for name, count in done.items() if name.startswith("kill"))
        pauses = sum(count for name, count in done.items() if name.startswith("pause"))
        seconds = time.monotonic() - self._began
        return (
            f"{seconds:6.0f} s  {all_of_them} started, {ended} ended  {kills} kills, {pauses} pauses, "
            f"{done['restart']} restarts"
        )


def _where_all_stand() -> dict[str, Any]:
    unfinished = SagaExecution.objects.unfinished().filter(held="")
    return unfinished.aggregate(unfinished=Count("pk"), versions=Sum("version"))


def _judge(verdict: Verdict, monkey: Monkey) -> None:
    codes = [cluster.stop() for cluster in monkey.clusters]
    verdict.violations += [f"a supervisor that was told to stop ended with {code}" for code in codes if code]
    verdict.violations += judge.violations(monkey.provider)
    verdict.attention, verdict.by_hand = judge.attention()
    for execution in SagaExecution.objects.all().iterator():
        verdict.states[execution.state.value] += 1
        verdict.sagas[execution.saga_name] += 1
    verdict.late_letters = judge.World(monkey.provider).late_letters
    verdict.faults = monkey.provider.faults()
    verdict.faults |= {name: (ordered, monkey.done[name]) for name, ordered in sorted(monkey.ordered.items())}
    verdict.recovered = {"killed": recovery_times(monkey.killed), "paused": recovery_times(monkey.stopped)}
    verdict.started_again = sum(cluster.started_again for cluster in monkey.clusters)
    gave_up = [code for cluster in monkey.clusters for code in cluster.gave_up]
    verdict.by_hand += [f"a supervisor that gave up with {code}" for code in gave_up]
