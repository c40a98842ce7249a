"""SIGTERM for a main thread that is about to wait.

Python runs a signal's handler in the main thread, between two of its instructions. A signal that arrives after the
last of them, or in another thread, is not seen before the call that waits returns; and a worker for which nothing is
due waits for ever. What C does for Python (`signal.set_wakeup_fd`) is done at once, whatever the main thread does.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress


class SigtermWatch:
    """Made in the main thread, asked in another, which is never without a moment for it."""

    def __init__(self) -> None:
        self._end, told = os.pipe()
        os.set_blocking(self._end, False)
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_let_go)
        self._came = False

    def came(self) -> bool:
        """Whether this process has ever been sent one."""
        with suppress(BlockingIOError):
            self._came |= signal.SIGTERM in os.read(self._end, 4096)
        return self._came

    def repeat(self) -> None:
        """Make the main thread run the handler, whatever it waits for."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _let_go() -> None:
    """A process that a step has forked ends by what it is sent, and that is not meant for us."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
