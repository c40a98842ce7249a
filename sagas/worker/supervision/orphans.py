"""Exit of the children whose sentinel has ended; django-q2's monitor, for example, would wait for results forever."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from .shared_memory import CLUSTER

CHECK_EVERY = 0.5


def exit_with_sentinel(is_worker: Callable[[], bool]) -> None:
    """Make each process that this one, the sentinel, forks from now on exit when the sentinel has ended.

    Not workers: they drain first and exit by themselves.
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
