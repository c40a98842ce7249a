"""Detect SIGTERM while the main thread blocks, and wait for the drain when the main thread ends.

Python runs a signal handler in the main thread, between two bytecode instructions. A signal may arrive just before the
main thread blocks, or in another thread. Its handler then runs only when the blocking call returns, and a worker
without work blocks forever. `signal.set_wakeup_fd` writes to a pipe at once, also while the main thread blocks.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  (it registers an exit callback; ours must be registered after it)
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress


class SigtermWatch:
    """Lets any thread detect SIGTERM. Create the watch in the main thread."""

    def __init__(self) -> None:
        self._fd, wakeup_fd = os.pipe()
        os.set_blocking(self._fd, False)
        os.set_blocking(wakeup_fd, False)
        signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_restore_default)
        self._received = False

    def received(self) -> bool:
        """Return whether this process has ever received SIGTERM."""
        with suppress(BlockingIOError):
            self._received |= signal.SIGTERM in os.read(self._fd, 4096)
        return self._received

    def repeat(self) -> None:
        """Send SIGTERM to the main thread, so that its blocking call ends and the handler runs."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def wait_before_executors_close(wait: Callable[[], object]) -> None:
    """Call `wait` when the main thread ends, before Python closes all executors to new work.

    Running attempts may need an executor: asyncio uses one to resolve a host name. `atexit` runs too late for this.
    """
    threading._register_atexit(wait)  # type: ignore[attr-defined]  # noqa: SLF001


def _restore_default() -> None:
    """Restore the default effect of SIGTERM in a process that a step has forked: it ends the process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
