"""How the processes of a cluster tell their supervisor who they are and that they live: lines in a pipe.

A pipe, because a database that hangs must not make the living look dead. Each line is so short (PIPE_BUF, pipe(7))
that it is written whole or not at all.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass

from sagas.engine.logs import log

REPORTS = "SAGAS_REPORTS"
AT_A_TIME = 65536


@dataclass(frozen=True)
class Report:
    """What a process says: its role is sentinel, pusher or worker; a worker that goes has `left` as its last word.

    `answered` counts the bells that a worker has answered, `ringing` that it is answering one. The role "saga" is the
    sentinel's too, which tells so the name of each saga that the cluster knows.
    """

    role: str
    pid: int
    name: str = ""
    free: int = 0
    answered: int = 0
    ringing: bool = False
    draining: bool = False
    left: bool = False
    workers: int = 0


class Line:
    """The writing end, in the processes of a cluster; without a supervisor nobody is told."""

    def __init__(self) -> None:
        self._end: int | None = None

    def take_up(self) -> None:
        """Take the pipe's end out of the environment: to what a step starts, the number would mean another file."""
        number = os.environ.pop(REPORTS, "")
        if number:
            self._end = int(number)
            os.set_inheritable(self._end, False)
            os.set_blocking(self._end, False)

    def tell(self, report: Report) -> None:
        """Tell it, unless the supervisor is gone, or so far behind that the pipe is full."""
        if self._end is not None:
            with suppress(OSError):
                told = {key: value for key, value in asdict(report).items() if value}
                os.write(self._end, (json.dumps(told) + "\n").encode())


class Reports:
    """The reading end, in the supervisor."""

    def __init__(self) -> None:
        self._end, self.line = os.pipe()
        os.set_blocking(self._end, False)
        self._rest = b""

    def handed_over(self) -> None:
        """The other end is the cluster's from now on."""
        os.close(self.line)

    def read(self) -> list[Report]:
        """What has been told since the last time."""
        told = self._rest
        with suppress(BlockingIOError):
            while more := os.read(self._end, AT_A_TIME):
                told += more
        *lines, self._rest = told.split(b"\n")
        return [report for line in lines if (report := _understood(line))]

    def close(self) -> None:
        """Read no more."""
        os.close(self._end)


def _understood(line: bytes) -> Report | None:
    """None for what the code of another version says, which may have been deployed since we were started."""
    try:
        return Report(**json.loads(line))
    except (ValueError, TypeError) as error:
        log(logging.WARNING, "report.unreadable", error_type=type(error).__name__)
        return None


LINE = Line()
