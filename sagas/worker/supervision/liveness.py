"""Decide from reports and the process table whether the processes of a cluster run and work.

This module is pure: it does no I/O and reads no clock. The time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sagas.models import SagaWorker

from .worker_reports import Report

OVERDUE = 10.0
SILENT_AFTER = SagaWorker.UNSEEN
REPORT_VALID_FOR = 5.0
LONGEST_GAP = 10.0
HELPERS = 2  # pusher and monitor


@dataclass(frozen=True)
class LastReport:
    """The last report of a worker, and the time at which the supervisor read it."""

    report: Report
    read_at: float

    def is_ready(self, now: float) -> bool:
        """Return whether the worker can claim executions at a wake-up, according to a recent report."""
        ready = self.report.free > 0 and not self.report.claiming and not self.report.draining
        return ready and now < self.read_at + REPORT_VALID_FOR


class Liveness:
    """The processes of a cluster, and their problems.

    A healthy cluster keeps its sentinel, pusher and monitor until it ends. The monitor sends no reports. It is
    identified as the last child when all other children have reported.
    """

    def __init__(self, now: float) -> None:
        self.members: dict[int, int] = {}
        self.workers: dict[int, LastReport] = {}
        self.sagas: list[str] = []
        self.sentinel = self.pusher = self.monitor = 0
        self.has_worked = False
        self._expected_workers = 0
        self._children: set[int] = set()
        self._unidentified: dict[int, float] = {}
        self._wake_ups: dict[int, int] = {}
        self._checked_at = self._complete_at = self._responsive_at = now

    @property
    def names(self) -> list[str]:
        """The names of the workers' rows in the database."""
        return [worker.report.name for worker in self.workers.values()]

    @property
    def possible_workers(self) -> set[int]:
        """The processes that may run an attempt: all children of the sentinel except pusher and monitor."""
        return ((self._children | self.workers.keys()) & self.members.keys()) - {self.pusher, self.monitor}

    @property
    def not_draining(self) -> set[int]:
        """The possible workers that have sent no report of draining."""
        return self.possible_workers - {pid for pid, worker in self.workers.items() if worker.report.draining}

    def record_report(self, report: Report, now: float) -> None:
        """Record a report. Keep the first pusher, because a second pusher means that the first has crashed."""
        if report.role == "sentinel":
            self.sentinel, self._expected_workers = self.sentinel or report.pid, report.workers
        elif report.role == "saga":
            self.sagas.append(report.name)
        elif report.role == "pusher":
            self.pusher = self.pusher or report.pid
        elif report.left:
            self.workers.pop(report.pid, None)
        else:
            self.workers[report.pid] = LastReport(report, now)

    def record_processes(self, members: dict[int, int], now: float) -> None:
        """Record the running processes of the group: `members` maps each process id to that of its parent."""
        if now > self._checked_at + LONGEST_GAP:
            # The supervisor itself was paused, and reports may be lost because the pipe was full. Start again.
            self.workers.clear()
            self._unidentified.clear()
            self._complete_at = self._responsive_at = now
        children = {pid for pid, parent in members.items() if parent == self.sentinel}
        is_complete = bool(self._expected_workers) and len(children) >= self._expected_workers + HELPERS
        if children != self._children & members.keys() or is_complete:
            self._complete_at = now
        self.members, self._checked_at = members, now
        self._children = (self._children | children) & members.keys()
        self._identify(children, now)

    def problem(self, now: float, *, overdue: bool) -> str:
        """Return the reason to replace the cluster, or "". `overdue` says whether an execution is overdue."""
        return next(self._problems(now, overdue=overdue), "")

    def _identify(self, children: set[int], now: float) -> None:
        """Identify the monitor, and record since when each other child has not reported its role."""
        unidentified = children - self.workers.keys() - {self.pusher, self.monitor}
        all_reported = bool(self.pusher) and len(self.workers) == self._expected_workers
        if all_reported and not self.monitor and len(unidentified) == 1:
            self.monitor = unidentified.pop()
        if all_reported and self.monitor and not unidentified:
            self.has_worked = True
        self._unidentified = {pid: self._unidentified.get(pid, now) for pid in unidentified}

    def _problems(self, now: float, *, overdue: bool) -> Iterator[str]:
        for pid in {self.sentinel, self.pusher, self.monitor, *self.workers} - {0}:
            if pid not in self.members:
                yield f"process {pid} died"
            elif self.members[pid] not in self.members:
                yield f"process {pid} has lost its parent"
        yield from self._silent_processes(now)
        if now > self._complete_at + SILENT_AFTER:
            yield f"it has had too few processes for {SILENT_AFTER:g} s"
        if self._is_unresponsive(now, overdue=overdue):
            yield f"no worker looked for work for {OVERDUE:g} s, although work was due and threads were free"

    def _silent_processes(self, now: float) -> Iterator[str]:
        for pid, since in self._unidentified.items():
            if now > since + SILENT_AFTER:
                yield f"process {pid} has not reported its role for {SILENT_AFTER:g} s"
        for pid, worker in self.workers.items():
            if now > worker.read_at + SILENT_AFTER:
                yield f"worker {pid} has not reported for {SILENT_AFTER:g} s"

    def _is_unresponsive(self, now: float, *, overdue: bool) -> bool:
        """Return whether threads were free and work was due for OVERDUE seconds, but no worker handled a wake-up.

        A worker that handles a wake-up is responsive even if it claims nothing, because another worker may have claimed
        or locked the due executions.
        """
        wake_ups = {pid: worker.report.wake_ups for pid, worker in self.workers.items()}
        ready = any(worker.is_ready(now) for worker in self.workers.values())
        if not (ready and overdue) or wake_ups != self._wake_ups:
            self._wake_ups, self._responsive_at = wake_ups, now
        return now > self._responsive_at + OVERDUE
