"""A cluster that a supervisor has started: what it tells, and whether its processes live."""

from __future__ import annotations

import subprocess
import time

from sagas.models import SagaExecution
from sagas.storage import database

from .knowledge import OVERDUE, Knowledge
from .processes import parents_in_group
from .questions import Question
from .reports import Report, Reports


class Cluster:
    """Its parent process, which leads the group, and what we know of the others."""

    def __init__(self, leader: subprocess.Popen[bytes], reports: Reports) -> None:
        self.leader, self._reports = leader, reports
        self.known = Knowledge(time.monotonic())
        self._unheard: list[Report] = []
        self._overdue = Question(self._is_overdue)

    @property
    def group(self) -> int:
        """The process group's id."""
        return self.leader.pid

    def trouble(self) -> str:
        """Why it cannot be trusted any more; "" when all is well."""
        if self.leader.poll() is not None:
            return f"the cluster ended by itself, with code {self.leader.returncode}"
        self.look()
        return self.known.trouble(time.monotonic(), overdue=bool(self._overdue.answer))

    def look(self) -> None:
        """Hear what is told and see who lives; of those that are gone by then, some have just said farewell."""
        now = time.monotonic()
        for report in self._unheard + self._reports.read():
            self.known.hear(report, now)
        self.known.see(parents_in_group(self.group), now)
        # Who was born since is not in the list yet, and would look dead; so the rest is for the next look.
        self._unheard = self._reports.read()
        for report in self._unheard:
            if report.left:
                self.known.hear(report, now)

    def end(self) -> None:
        """Watch it no more."""
        self._overdue.end()
        self._reports.close()

    def _is_overdue(self) -> bool:
        executions = SagaExecution.objects.using(database.alias())
        return executions.of_sagas(self.known.sagas).are_overdue(OVERDUE)
