"""What a supervisor knows of a cluster, and why it trusts it no more: nobody is asked here, and time is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sagas.models import SagaWorker

from .reports import Report

OVERDUE = 10.0
UNSEEN = SagaWorker.UNSEEN
FRESH = 5.0
BLIND = 10.0
HELPERS = 2


@dataclass(frozen=True)
class Worker:
    """What a worker told last, and when we read it."""

    told: Report
    seen: float

    def is_ready(self, now: float) -> bool:
        """Whether a bell should make it look for work; of who has been silent for some seconds nobody knows."""
        free = self.told.free > 0 and not self.told.ringing and not self.told.draining
        return free and now < self.seen + FRESH


class Knowledge:
    """Who belongs to a cluster: what they told of themselves, and where the table of processes has them.

    Beside the workers there are three that never leave, the sentinel, its pusher and its monitor; the monitor has no
    occasion to tell, and is who is left once all the others have.
    """

    def __init__(self, now: float) -> None:
        self.members: dict[int, int] = {}
        self.workers: dict[int, Worker] = {}
        self.sagas: list[str] = []
        self.sentinel = self.pusher = self.monitor = 0
        self.has_worked = False
        self._expected = 0
        self._children: set[int] = set()
        self._strangers: dict[int, float] = {}
        self._heard: dict[int, int] = {}
        self._looked = self._short_since = self._deaf_since = now

    @property
    def names(self) -> list[str]:
        """The workers' rows in the database, but for those who have left and taken theirs with them."""
        return [worker.told.name for worker in self.workers.values()]

    @property
    def hands(self) -> set[int]:
        """Who may still have an attempt in hand: all children of the sentinel but those that never do."""
        return ((self._children | self.workers.keys()) & self.members.keys()) - {self.pusher, self.monitor}

    @property
    def unaware(self) -> set[int]:
        """Those of them that do not seem to know that they shall leave."""
        return self.hands - {pid for pid, worker in self.workers.items() if worker.told.draining}

    def hear(self, report: Report, now: float) -> None:
        """Take in what a process tells. There is one sentinel, and another pusher means that the first has died."""
        if report.role == "sentinel":
            self.sentinel, self._expected = self.sentinel or report.pid, report.workers
        elif report.role == "saga":
            self.sagas.append(report.name)
        elif report.role == "pusher":
            self.pusher = self.pusher or report.pid
        elif report.left:
            self.workers.pop(report.pid, None)
        else:
            self.workers[report.pid] = Worker(report, now)

    def see(self, members: dict[int, int], now: float) -> None:
        """Take in who lives and whose child it is."""
        if now > self._looked + BLIND:
            self._begin_anew(now)
        children = {pid for pid, parent in members.items() if parent == self.sentinel}
        if children != self._children & self.members.keys() or (self._expected and not self._is_short(children)):
            self._short_since = now
        self.members, self._looked = members, now
        self._children = (self._children | children) & members.keys()
        self._tell_apart(children, now)

    def trouble(self, now: float, *, overdue: bool) -> str:
        """Why the cluster cannot be trusted any more, `overdue` being whether work is; "" when all is well."""
        return next(self._troubles(now, overdue=overdue), "")

    def _begin_anew(self, now: float) -> None:
        """Who did not look for long was stopped itself: silence says nothing, and a farewell may have found no room."""
        self.workers.clear()
        self._strangers.clear()
        self._short_since = self._deaf_since = now

    def _is_short(self, children: set[int]) -> bool:
        return len(children) < self._expected + HELPERS

    def _tell_apart(self, children: set[int], now: float) -> None:
        strangers = children - self.workers.keys() - {self.pusher, self.monitor}
        all_told = bool(self.pusher) and len(self.workers) == self._expected
        if all_told and not self.monitor and len(strangers) == 1:
            self.monitor = strangers.pop()
        if all_told and self.monitor and not strangers:
            self.has_worked = True
        self._strangers = {pid: self._strangers.get(pid, now) for pid in strangers}

    def _troubles(self, now: float, *, overdue: bool) -> Iterator[str]:
        for pid in {self.sentinel, self.pusher, self.monitor, *self.workers} - {0}:
            if pid not in self.members:
                yield f"process {pid} died"
            elif self.members[pid] not in self.members:
                yield f"process {pid} has lost its parent"
        for pid, since in self._strangers.items():
            if now > since + UNSEEN:
                yield f"process {pid} has not told for {UNSEEN:g} s who it is"
        for pid, worker in self.workers.items():
            if now > worker.seen + UNSEEN:
                yield f"worker {pid} has not been seen for {UNSEEN:g} s"
        if now > self._short_since + UNSEEN:
            yield f"for {UNSEEN:g} s it has had fewer processes than it should"
        if self._is_deaf(now, overdue=overdue):
            yield f"no bell was answered for {OVERDUE:g} s, although work was due and threads were free"

    def _is_deaf(self, now: float, *, overdue: bool) -> bool:
        """Whether, at each look for so long, threads were free, work was due, and nobody went to look for it.

        Whoever goes and finds nothing, for somebody else has it or has locked it, is well; so is who waits there.
        """
        heard = {pid: worker.told.answered for pid, worker in self.workers.items()}
        ready = any(worker.is_ready(now) for worker in self.workers.values())
        if not (ready and overdue) or heard != self._heard:
            self._heard, self._deaf_since = heard, now
        return now > self._deaf_since + OVERDUE
