"""The two pipes between a cluster and its supervisor: one for reports, and a lifeline.

Reports are lines of JSON. They use a pipe, because processes must be able to report while the database hangs. Each line
is shorter than PIPE_BUF, so the system writes the whole line or nothing (pipe(7)).
"""

from __future__ import annotations

import json
import logging
import os
import select
from contextlib import suppress
from dataclasses import asdict, dataclass

from sagas.engine.logs import log

REPORTS = "SAGAS_REPORTS"
LIFELINE = "SAGAS_LIFELINE"
READ_SIZE = 65536


@dataclass(frozen=True)
class Report:
    """A report of a process. `role` is "sentinel", "pusher", "worker" or "saga".

    A worker counts the handled wake-ups in `wake_ups`. It sets `claiming` while it handles a wake-up, and sends `left`
    before it exits. The sentinel sends one report with the role "saga" for each registered saga.
    """

    role: str
    pid: int
    name: str = ""
    free: int = 0
    wake_ups: int = 0
    claiming: bool = False
    draining: bool = False
    left: bool = False
    workers: int = 0


class ReportWriter:
    """The writing end of the report pipe, used by the cluster. Without a supervisor, `send` does nothing."""

    def __init__(self) -> None:
        self._fd: int | None = None

    def open(self) -> None:
        """Read the pipe's file descriptor from the environment and remove the variable.

        A program that a step starts would inherit the variable, but not the pipe.
        """
        number = os.environ.pop(REPORTS, "")
        if number:
            self._fd = int(number)
            os.set_inheritable(self._fd, False)
            os.set_blocking(self._fd, False)

    def send(self, report: Report) -> None:
        """Write the report; drop it if the supervisor has ended or the pipe is full."""
        if self._fd is not None:
            with suppress(OSError):
                fields = {key: value for key, value in asdict(report).items() if value}
                os.write(self._fd, (json.dumps(fields) + "\n").encode())


class ReportReader:
    """The reading end of the pipe, in the supervisor."""

    def __init__(self) -> None:
        self._fd, self.writing_end = os.pipe()
        os.set_blocking(self._fd, False)
        self._incomplete = b""

    def close_writing_end(self) -> None:
        """Close the supervisor's copy of the writing end. Call this when the cluster has inherited the pipe."""
        os.close(self.writing_end)

    def read(self) -> list[Report]:
        """Return the reports that have arrived since the last call."""
        received = self._incomplete
        with suppress(BlockingIOError):
            while more := os.read(self._fd, READ_SIZE):
                received += more
        *lines, self._incomplete = received.split(b"\n")
        reports = []
        for line in lines:
            try:
                reports.append(Report(**json.loads(line)))
            except (ValueError, TypeError) as error:  # the cluster may run newer code than the supervisor
                log(logging.WARNING, "report.unreadable", error_type=type(error).__name__)
        return reports

    def close(self) -> None:
        """Close the reading end."""
        os.close(self._fd)


class Lifeline:
    """The reading end of a pipe that closes when the supervisor ends, because only the supervisor has the other end."""

    def __init__(self) -> None:
        self._fd: int | None = None

    def open(self) -> None:
        """Read the pipe's file descriptor from the environment and remove the variable."""
        number = os.environ.pop(LIFELINE, "")
        self._fd = int(number) if number else None

    def is_cut(self) -> bool:
        """Return whether the cluster had a supervisor that has ended."""
        return self._fd is not None and bool(select.select([self._fd], [], [], 0)[0])


REPORT_WRITER = ReportWriter()
