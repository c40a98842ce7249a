"""How the processes of a cluster tell their supervisor who they are and that they live: lines in a pipe.

A pipe, because a database that hangs must not make the living look dead; each line is short enough to be whole.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field

REPORTS = "SAGAS_REPORTS"
AT_A_TIME = 65536


@dataclass(frozen=True)
class Report:
    """What a process says: its role is sentinel, pusher or worker; a worker that goes has `left` as its last word.

    `answered` counts the bells that a worker has answered, `ringing` that it is answering one.
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
    sagas: list[str] = field(default_factory=list)


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
                os.write(self._end, (json.dumps(asdict(report)) + "\n").encode())


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
        return [Report(**json.loads(line)) for line in lines]

    def close(self) -> None:
        """Read no more."""
        os.close(self._end)


LINE = Line()
