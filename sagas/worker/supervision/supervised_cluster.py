"""A cluster that a supervisor has started, and the checks on its reports, processes and overdue work."""

from __future__ import annotations

import subprocess
import time

from sagas.models import SagaExecution
from sagas.storage import database

from .database_probe import DatabaseProbe
from .liveness import OVERDUE, Liveness
from .processes import parents_in_group
from .worker_reports import Report, ReportReader


class SupervisedCluster:
    """A running cluster. `leader` is its parent process, which leads the process group."""

    def __init__(self, leader: subprocess.Popen[bytes], reports: ReportReader) -> None:
        self.leader, self.group, self._reports = leader, leader.pid, reports
        self.liveness = Liveness(time.monotonic())
        self._pending: list[Report] = []
        self._overdue = DatabaseProbe(self._is_overdue)

    def problem(self) -> str:
        """Return the reason to replace the cluster, or ""."""
        if self.leader.poll() is not None:
            return f"the cluster ended by itself, with code {self.leader.returncode}"
        self.refresh()
        return self.liveness.problem(time.monotonic(), overdue=bool(self._overdue.answer))

    def refresh(self) -> None:
        """Read the reports, then the process table, then the reports of workers that have just left."""
        now = time.monotonic()
        for report in self._pending + self._reports.read():
            self.liveness.record_report(report, now)
        self.liveness.record_processes(parents_in_group(self.group), now)
        # Keep the other reports for the next call. A process that was forked after the process table was read is
        # missing from the table, so it would count as ended.
        self._pending = self._reports.read()
        for report in self._pending:
            if report.left:
                self.liveness.record_report(report, now)

    def close(self) -> None:
        """Stop the probe and close the pipe."""
        self._overdue.stop()
        self._reports.close()

    def _is_overdue(self) -> bool:
        executions = SagaExecution.objects.using(database.alias())
        return executions.of_sagas(self.liveness.sagas).are_overdue(OVERDUE)
