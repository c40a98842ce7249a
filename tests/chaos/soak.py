"""The soak test from the first start to its result; Django must be set up."""

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

from . import promises
from .clients import Clients, orders
from .clusters import RestartedCluster
from .database import Database, retry
from .limits import LEASE, POLL, TIMEOUT
from .monkey import Fault, Monkey
from .outside import Provider
from .recoveries import recovery_times

Print = Callable[[str], None]

CLUSTERS = 3
TICK = 0.05
PROGRESS_EVERY = 15.0
# After the last fault, the longest wait is a lease, or the two timeouts after which an outcome in doubt is verified.
# The rest allows for clusters that are being started on a busy machine.
STANDSTILL = 2 * (LEASE + 2 * POLL + 2 * TIMEOUT) + 30


@dataclass(frozen=True)
class Options:
    """The options of the command; `seconds` is the time in which sagas are started and faults happen."""

    sagas: int
    seconds: float
    kills: int
    pauses: int
    restarts: int
    faults: float
    seed: str


@dataclass
class Result:
    """The numbers in the report of the soak."""

    options: Options
    states: Counter[str] = field(default_factory=Counter)
    sagas: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[int, int]] = field(default_factory=dict)
    recovered: dict[str, list[float]] = field(default_factory=dict)
    attention: Counter[str] = field(default_factory=Counter)
    needs_operator: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    restarts: int = 0
    late_letters: int = 0
    settled_in: float = 0.0
    seconds: float = 0.0


def soak(options: Options, database: Database, folder: Path, logs: Path | None, print_line: Print) -> Result:
    """Run the sagas and the faults and check the promises; on failure, write the clusters' logs to `logs`."""
    began = time.monotonic()
    result = Result(options)
    with _running(options, folder) as (provider, clusters):
        monkey = Monkey(clusters, provider, database.restart, random.Random(f"{options.seed}:monkey"))
        Run(options, monkey, result, print_line).all()
        _check(result, monkey)
        if logs and (result.violations or result.needs_operator):
            for cluster in clusters:
                cluster.write_logs(logs)
    result.seconds = time.monotonic() - began
    return result


@contextmanager
def _running(options: Options, folder: Path) -> Iterator[tuple[Provider, list[RestartedCluster]]]:
    provider = Provider(folder, options.seed, options.faults)
    clusters: list[RestartedCluster] = []
    try:
        clusters += [RestartedCluster(f"chaos-{number}", provider.port) for number in range(CLUSTERS)]
        for cluster in clusters:
            cluster.current.wait_until_it_works()
        yield provider, clusters
    finally:
        for cluster in clusters:
            cluster.leave()
        provider.leave()


class Run:
    """The two phases of a soak: first faults happen, then all executions must end by themselves."""

    def __init__(self, options: Options, monkey: Monkey, result: Result, print_line: Print) -> None:
        self.options, self.monkey, self.result, self.print_line = options, monkey, result, print_line
        self._progress_at = 0.0
        self._began = time.monotonic()
        rng = random.Random(f"{options.seed}:clients")
        self._clients = Clients(orders(options.sagas, options.seconds, rng))

    def all(self) -> None:
        """Cause faults, wait for the end of all executions, resume paused processes, deliver delayed requests."""
        try:
            self._cause_faults()
            # On SQLite, a process that is paused in a transaction blocks all others.
            if connection.vendor != "sqlite":
                self.monkey.pause_to_the_end()
            self.monkey.provider.calm()
            self._settle()
            # The provider may still handle a letter from a killed worker (the residual window of letters).
            self._wait_for(lambda: not self.monkey.provider.is_answering())
            before = promises.snapshot(self.monkey.provider)
            self._resume_all()
            self.result.violations += promises.changes(before, promises.snapshot(self.monkey.provider))
            self.result.violations += [*self._clients.errors, *promises.double_starts(self._clients.started)]
        finally:
            self._clients.leave()

    def _cause_faults(self) -> None:
        options = self.options
        faults = self.monkey.plan(
            options.seconds, kills=options.kills, pauses=options.pauses, restarts=options.restarts
        )
        while faults or not self._clients.done:
            now = time.monotonic() - self._began
            faults = self._cause_due(faults, now)
            self._tick()

    def _cause_due(self, faults: list[Fault], now: float) -> list[Fault]:
        """Cause one due fault and return the remaining faults; postpone the fault if it is impossible now."""
        due = next((fault for fault in faults if fault.at <= now), None)
        if due is None:
            return faults
        rest = [fault for fault in faults if fault is not due]
        if not self.monkey.do(due):
            rest.append(Fault(now + POLL, due.what, due.kind))
        return sorted(rest)

    def _settle(self) -> None:
        """I9: wait until all executions have ended or nothing changes; promises.py reports unfinished executions."""
        calm = moved_at = time.monotonic()
        seen: Any = None
        while time.monotonic() < moved_at + STANDSTILL:
            now = retry(_progress_of_unfinished)
            if not now["unfinished"]:
                break
            if now != seen:
                seen, moved_at = now, time.monotonic()
            self._tick()
        self.result.settled_in = time.monotonic() - calm

    def _resume_all(self) -> None:
        """Resume paused processes; wait until they run no executions and the provider delays no request."""
        resumed = self.monkey.resume(everything=True)
        at = retry(lambda: SagaExecution.objects.annotate(now=ago(0)).values_list("now", flat=True).first())
        idle = SagaWorker.objects.filter(pid__in=resumed, seen_at__gt=at, running=0)
        self._wait_for(lambda: len({*idle.values_list("pid", flat=True)}) >= len(self._alive(resumed)))
        self.monkey.provider.deliver()
        self._wait_for(self.monkey.provider.is_idle)

    def _alive(self, pids: list[int]) -> list[int]:
        return [pid for pid in pids if any(cluster.is_alive(pid) for cluster in self.monkey.clusters)]

    def _wait_for(self, condition: Callable[[], Any]) -> None:
        while not retry(condition):
            self._tick()

    def _tick(self) -> None:
        for cluster in self.monkey.clusters:
            cluster.restart_if_ended()
        self.monkey.resume()
        if time.monotonic() >= self._progress_at:
            self._progress_at = time.monotonic() + PROGRESS_EVERY
            self.print_line(retry(self._progress))
        time.sleep(TICK)

    def _progress(self) -> str:
        ended, total = SagaExecution.objects.finished().count(), SagaExecution.objects.count()
        done = self.monkey.done
        kills = sum(count for name, count in done.items() if name.startswith("kill"))
        pauses = sum(count for name, count in done.items() if name.startswith("pause"))
        seconds = time.monotonic() - self._began
        return (
            f"{seconds:6.0f} s  {total} started, {ended} ended  {kills} kills, {pauses} pauses, "
            f"{done['restart']} restarts"
        )


def _progress_of_unfinished() -> dict[str, Any]:
    unfinished = SagaExecution.objects.unfinished().filter(held="")
    return unfinished.aggregate(unfinished=Count("pk"), versions=Sum("version"))


def _check(result: Result, monkey: Monkey) -> None:
    codes = [cluster.stop() for cluster in monkey.clusters]
    result.violations += [f"a supervisor ended with {code} after SIGTERM" for code in codes if code]
    result.violations += promises.violations(monkey.provider)
    result.attention, result.needs_operator = promises.attention()
    for execution in SagaExecution.objects.all().iterator():
        result.states[execution.state.value] += 1
        result.sagas[execution.saga_name] += 1
    result.late_letters = promises.AllEffects(monkey.provider).late_letters
    result.faults = monkey.provider.faults()
    result.faults |= {name: (ordered, monkey.done[name]) for name, ordered in sorted(monkey.ordered.items())}
    result.recovered = {"killed": recovery_times(monkey.killed), "paused": recovery_times(monkey.stopped)}
    result.restarts = sum(cluster.restarts for cluster in monkey.clusters)
    gave_up = [code for cluster in monkey.clusters for code in cluster.gave_up]
    result.needs_operator += [f"a supervisor gave up with {code}" for code in gave_up]
