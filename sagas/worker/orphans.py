"""Nobody outlives its sentinel: django-q2's monitor, for one, would wait for results for ever."""

from __future__ import annotations

import os
import threading
import time

from . import process
from .shared import CLUSTER

LOOK_EVERY = 0.5


def leave_with_the_sentinel() -> None:
    """From here on each process that this one, the sentinel, forks leaves when the sentinel is gone."""
    os.register_at_fork(after_in_child=_watch)


def _watch() -> None:
    """Not in what a step forks, which is the step's business."""
    if os.getppid() == CLUSTER.sentinel:
        threading.Thread(target=_leave_once_orphaned, name="sagas-orphan", daemon=True).start()


def _leave_once_orphaned() -> None:
    """Workers are left alone: they let their attempts end first, and see to it themselves."""
    while not CLUSTER.orphaned():
        time.sleep(LOOK_EVERY)
    if not process.is_worker():
        os._exit(0)
