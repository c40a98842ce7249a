"""What steps in hand need until they have ended, and Python closes as soon as the main thread does."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  (it closes its executors by the same means; the last comes first)
import threading
from collections.abc import Callable


def keep_open_until_after(wait: Callable[[], object]) -> None:
    """Have the main thread, when it ends, wait so before every executor of the process is closed to new work.

    asyncio, too, asks executors, for one when it looks up a host. `atexit` would be too late for that.
    """
    threading._register_atexit(wait)  # type: ignore[attr-defined]  # noqa: SLF001
