"""An attempt's deadline: an interval timer in the main thread, the watchdog in any other.

The watchdog is a thread (see lease_renewal). It calls `expire` at the deadline and `give_up` after the grace.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from sagas.definition.exceptions import StepTimeout

T = TypeVar("T")

SOONEST = 1e-6


class Deadline:
    """The time limit of one attempt, in one thread. Times are of the monotonic clock, in seconds."""

    def __init__(self, seconds: float, grace: float, on_stuck: Callable[[Deadline], None]) -> None:
        self._thread = threading.get_ident()
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._on_stuck = on_stuck
        self._armed = False
        self._expiring = False
        self._forwarded = False
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.stuck_at = self.ends + grace
        self.expired = False
        self.given_up = False

    def is_running(self) -> bool:
        """Return whether the call has not come back yet, so that nothing after it has run."""
        return self._armed

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` and return its result; StepTimeout if it took too long, even if it swallowed that.

        A StepTimeout with another `deadline` belongs to an outer step, in which this call is made.
        """
        result = self._call_on_timer(function) if self._in_main_thread else self._call_watched(function)
        if self.expired or self.given_up:
            raise StepTimeout(deadline=self)
        return result

    def expire(self) -> None:
        """Raise StepTimeout in the attempt's thread. In the main thread the timer does this."""
        self._expiring = True
        try:
            if self._armed and not self._in_main_thread:
                self.expired = True
                _raise_in(self._thread, StepTimeout)
        finally:
            self._expiring = False

    def give_up(self) -> None:
        """Have the attempt written in its name, once, because the call did not come back within the grace."""
        if self._armed and not self.given_up:
            self.given_up = True
            self._on_stuck(self)

    def _call_watched(self, function: Callable[[], T]) -> T:
        self._armed = True
        try:
            try:
                return function()
            finally:
                self._disarm()
        finally:
            self._disarm()  # Again: StepTimeout may have interrupted the first one.

    def _disarm(self) -> None:
        """Stop watching. Without a lock, which a StepTimeout right after its acquisition would leave locked."""
        self._armed = False
        while self._expiring:
            time.sleep(0)
        if self.expired and not self._in_main_thread:
            _absorb(StepTimeout)

    def _call_on_timer(self, function: Callable[[], T]) -> T:
        """Call with the interval timer set to our end or to the end of its previous user, whichever comes first."""
        started, remaining, interval = time.monotonic(), 0.0, 0.0
        previous = signal.signal(signal.SIGALRM, self._on_alarm)
        self._previous = previous if callable(previous) else None
        try:
            self._armed = True
            remaining, interval = signal.setitimer(signal.ITIMER_REAL, max(SOONEST, self.ends - started))
            if 0 < remaining < self.ends - started:
                signal.setitimer(signal.ITIMER_REAL, remaining)
            return self._call_watched(function)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous if previous is not None else signal.SIG_DFL)
            if remaining and (interval or not self._forwarded):
                left = remaining - (time.monotonic() - started)
                signal.setitimer(signal.ITIMER_REAL, max(SOONEST, left), interval)

    def _on_alarm(self, number: int, frame: FrameType | None) -> Any:
        left = self.ends - time.monotonic()
        if left > 0 and self._previous is not None:
            signal.setitimer(signal.ITIMER_REAL, left)
            self._forwarded = True
            self._previous(number, frame)
        elif self._armed and not self.expired:
            self.expired = True
            raise StepTimeout(deadline=self)


def _raise_in(thread: int, error: type[BaseException]) -> bool:
    """Raise `error` in a thread at its next bytecode; return whether the thread exists."""
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error)))


def _absorb(error: type[BaseException]) -> None:
    """Let an error that is still to be raised in this thread be raised here, where it does no harm.

    Clearing it with NULL is no alternative: up to Python 3.12 that leaves a flag set, which slows every thread and
    blocks those that are traced.
    """
    with suppress(error):
        while _raise_in(threading.get_ident(), error):
            time.sleep(0)
