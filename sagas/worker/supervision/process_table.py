"""The processes of a process group."""

from __future__ import annotations

import os

import psutil

ENDED = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def parents_in_group(group: int) -> dict[int, int]:
    """Return each running process of the group with its parent; zombies are left out."""
    members = {}
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) != group:
                continue
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() not in ENDED:
                    members[pid] = process.ppid()
        except (OSError, psutil.Error):  # it ended meanwhile
            continue
    return members
