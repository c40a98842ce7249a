"""List the running processes of a cluster, and make them exit when their sentinel has ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import psutil

from .shared_memory import CLUSTER

ENDED = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
CHECK_EVERY = 0.5


def parents_in_group(group: int) -> dict[int, int]:
    """Map the id of each running process of the group to the id of its parent. Leave out zombies."""
    members = {}
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) != group:
                continue
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() not in ENDED:
                    members[pid] = process.ppid()
        except (OSError, psutil.Error):  # the process has just ended
            continue
    return members


def exit_with_sentinel(is_worker: Callable[[], bool]) -> None:
    """Make all future children of this process, the sentinel, exit when the sentinel has ended.

    Workers are left out, because they drain first and then exit by themselves. Other processes would never exit: for
    example, django-q2's monitor waits for results forever.
    """

    def watch_sentinel() -> None:
        if os.getppid() == CLUSTER.sentinel:  # not in a process that a step forks
            threading.Thread(target=_exit_once_orphaned, args=[is_worker], name="sagas-orphan", daemon=True).start()

    os.register_at_fork(after_in_child=watch_sentinel)


def _exit_once_orphaned(is_worker: Callable[[], bool]) -> None:
    while not CLUSTER.orphaned():
        time.sleep(CHECK_EVERY)
    if not is_worker():
        os._exit(0)
