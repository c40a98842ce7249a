"""The deadline of one attempt. In the main thread an interval timer enforces it, in other threads the watchdog.

The watchdog is a thread (see lease_renewal). It calls `expire` at the deadline, and `give_up` after the grace.
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
    """The time limit of one attempt, in the thread that creates it.

    `seconds` is the limit and `grace` the extra seconds before `on_stuck` is called. `ends` and `stuck_at` are times of
    the monotonic clock.
    """

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
        """Return whether the call still runs."""
        return self._armed

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` and return its result.

        Raises StepTimeout if the call took too long, even if `function` caught it. A StepTimeout with another
        `deadline` belongs to an outer step that made this call.
        """
        result = self._call_on_timer(function) if self._in_main_thread else self._call_watched(function)
        if self.expired or self.given_up:
            raise StepTimeout(deadline=self)
        return result

    def expire(self) -> None:
        """Raise StepTimeout in the attempt's thread. Does nothing in the main thread, where the timer raises."""
        self._expiring = True
        try:
            if self._armed and not self._in_main_thread:
                self.expired = True
                _raise_in(self._thread, StepTimeout)
        finally:
            self._expiring = False

    def give_up(self) -> None:
        """Call `on_stuck` once if the call still runs, so that another thread can write the attempt."""
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
            self._disarm()  # Again, because StepTimeout may have interrupted the first call.

    def _disarm(self) -> None:
        """Stop watching. Uses no lock: a StepTimeout right after its acquisition would leave it locked."""
        self._armed = False
        while self._expiring:
            time.sleep(0)
        if self.expired and not self._in_main_thread:
            _absorb(StepTimeout)

    def _call_on_timer(self, function: Callable[[], T]) -> T:
        """Call `function` with an interval timer.

        The timer ends at our deadline, or at the alarm of its previous user if that is earlier.
        """
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
    """Raise a pending asynchronous error here, where it is suppressed.

    Clearing the error with NULL is no alternative: up to Python 3.12 a flag stays set, which slows every thread and
    blocks threads that are traced.
    """
    with suppress(error):
        while _raise_in(threading.get_ident(), error):
            time.sleep(0)
