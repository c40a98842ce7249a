"""What a supervisor knows of a cluster, and what it makes of that: why it cannot be trusted any more."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from sagas import database
from sagas.models import SagaExecution, SagaWorker

from .processes import parents_in_group
from .questions import Question
from .reports import Report, Reports

OVERDUE = 10.0
UNSEEN = SagaWorker.UNSEEN


class Cluster:
    """A cluster we started: its parent process, which leads the group, and what the others have told of themselves.

    Beside the workers there are three that never leave, the sentinel, its pusher and its monitor; the monitor has no
    occasion to tell, and is who is left once all the others have.
    """

    def __init__(self, leader: subprocess.Popen[bytes], reports: Reports) -> None:
        self.leader, self._reports = leader, reports
        self.members: dict[int, int] = {}
        self.workers: dict[int, Worker] = {}
        self.expected = 0
        self.sentinel = self.pusher = self.monitor = 0
        self.names: set[str] = set()
        self.children: set[int] = set()
        self.has_worked = False
        self._incomplete_since = self._deaf_since = time.monotonic()
        self._sagas: list[str] = []
        self._heard: dict[int, int] = {}
        self._overdue = Question(self._is_overdue)

    @property
    def group(self) -> int:
        """The process group's id."""
        return self.leader.pid

    def trouble(self) -> str:
        """Why it cannot be trusted any more; "" when all is well."""
        for report in self._reports.read():
            self._take_in(report)
        if self.leader.poll() is not None:
            return f"the cluster ended by itself, with code {self.leader.returncode}"
        self._look()
        return next(self._troubles(), "")

    def look_for_hands(self) -> set[int]:
        """The processes that may still have an attempt in hand: all children of a sentinel but those that never do."""
        for report in self._reports.read():
            self._take_in(report)
        self._look()
        return (self.children & self.members.keys()) - {self.pusher, self.monitor}

    def end(self) -> None:
        """Watch it no more."""
        self._overdue.end()
        self._reports.close()

    def _take_in(self, report: Report) -> None:
        if report.role == "sentinel":
            self.sentinel, self.expected, self._sagas = report.pid, report.workers, report.sagas
        elif report.role == "pusher":
            self.pusher = self.pusher or report.pid  # another one tells that the first has died
        elif report.left:
            self.workers.pop(report.pid, None)
        else:
            self.workers[report.pid] = Worker(report, time.monotonic())
            self.names.add(report.name)

    def _look(self) -> None:
        self.members = parents_in_group(self.group)
        children = {pid for pid, parent in self.members.items() if parent == self.sentinel}
        self.children |= children
        strangers = children - self.workers.keys() - {self.pusher, self.monitor}
        all_told = self.pusher and len(self.workers) == self.expected
        if all_told and not self.monitor and len(strangers) == 1:
            self.monitor = strangers.pop()
        if self.monitor and all_told and not strangers:
            self.has_worked, self._incomplete_since = True, time.monotonic()

    def _troubles(self) -> Iterator[str]:
        now = time.monotonic()
        known = {pid for pid in (self.sentinel, self.pusher, self.monitor) if pid} | self.workers.keys()
        for pid in known:
            if pid not in self.members:
                yield f"process {pid} died"
            elif self.members[pid] not in self.members:
                yield f"process {pid} has lost its parent"
        if now > self._incomplete_since + UNSEEN:
            yield f"for {UNSEEN:g} s not all of its processes have told who they are"
        for pid, worker in self.workers.items():
            if not worker.told.draining and now > worker.seen + UNSEEN:
                yield f"worker {pid} has not been seen for {UNSEEN:g} s"
        if self._is_deaf():
            yield f"no bell was answered for {OVERDUE:g} s, although work was due and threads were free"

    def _is_deaf(self) -> bool:
        """Whether, at each look for so long, threads were free, work was due, and nobody went to look for it.

        Whoever goes and finds nothing, for somebody else has it or has locked it, is well; so is who waits there.
        """
        heard = {pid: worker.told.answered for pid, worker in self.workers.items()}
        ready = any(worker.ready for worker in self.workers.values())
        if not ready or heard != self._heard or not self._overdue.answer:
            self._heard, self._deaf_since = heard, time.monotonic()
        return time.monotonic() > self._deaf_since + OVERDUE

    def _is_overdue(self) -> bool:
        executions = SagaExecution.objects.using(database.alias())
        return bool(executions.of_sagas(self._sagas).due(OVERDUE).exists())


@dataclass(frozen=True)
class Worker:
    """What a worker told last, and when we read it, by the monotonic clock."""

    told: Report
    seen: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> bool:
        """Whether a bell should make it look for work."""
        return self.told.free > 0 and not self.told.ringing and not self.told.draining
