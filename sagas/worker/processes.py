"""The processes of a group, as the operating system lists them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
Process = tuple[int, int, int, str]


def parents_in_group(group: int) -> dict[int, int]:
    """Each living process of the group with its parent; those that have ended and wait to be reaped are left out."""
    processes = _in_proc() if (PROC / "self/stat").exists() else _by_ps()
    return {pid: parent for pid, parent, its, state in processes if its == group and state not in "ZX"}


def _in_proc() -> Iterator[Process]:
    """Linux: proc(5), /proc/<pid>/stat, whose second field is the name in parentheses."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:  # it ended meanwhile
                continue
            state, parent, group = stat.rpartition(")")[2].split()[:3]
            yield int(entry.name), int(parent), int(group), state


def _by_ps() -> Iterator[Process]:
    """Other systems: ps(1) as POSIX has it, with the state that BSD and macOS add."""
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  (constants)
    for line in listing.stdout.splitlines():
        pid, parent, group, state = line.split()
        yield int(pid), int(parent), int(group), state[0]
