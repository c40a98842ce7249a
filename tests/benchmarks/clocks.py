"""Measure the CPU time of this process and of its database server processes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NANOSECONDS = 1e-9


class Spent:
    """The cost of `work` in seconds: wall time, CPU of this process, CPU of the server (None if it cannot be read)."""

    def __init__(self, work: Callable[[], Any], backends: list[int]) -> None:
        wall, cpu, server = time.perf_counter(), time.process_time(), server_seconds(backends)
        work()
        self.wall = time.perf_counter() - wall
        self.cpu = time.process_time() - cpu
        after = server_seconds(backends)
        self.server = None if server is None or after is None else after - server


def server_seconds(backends: list[int]) -> float | None:
    """Return the CPU seconds of these processes, or None if /proc does not show them (another host, or not Linux)."""
    try:
        return sum(_run_time(pid) for pid in backends) if backends else None
    except OSError:
        return None


def _run_time(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * NANOSECONDS
