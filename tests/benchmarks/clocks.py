"""CPU time of this process and of the database server's backends that work for it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NANOSECONDS = 1e-9


class Spent:
    """What `work` cost: seconds of wall time, of our CPU, and of the server's CPU (None = cannot be read)."""

    def __init__(self, work: Callable[[], Any], backends: list[int]) -> None:
        wall, cpu, server = time.perf_counter(), time.process_time(), server_seconds(backends)
        work()
        self.wall = time.perf_counter() - wall
        self.cpu = time.process_time() - cpu
        after = server_seconds(backends)
        self.server = None if server is None or after is None else after - server


def server_seconds(backends: list[int]) -> float | None:
    """CPU seconds that these processes have used; None where /proc does not show them (another host, no Linux)."""
    try:
        return sum(_run_time(pid) for pid in backends) if backends else None
    except OSError:
        return None


def _run_time(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * NANOSECONDS
