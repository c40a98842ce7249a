"""An attempt's deadline: an interval timer in the main thread, the watchdog in any other.

The watchdog is a thread (see heartbeat), which calls `ring` and `give_up` when their times have come.
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
    """The time that one attempt has, in one thread. Times are of the monotonic clock, in seconds."""

    def __init__(self, seconds: float, grace: float, on_stuck: Callable[[Deadline], None]) -> None:
        self._thread = threading.get_ident()
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._on_stuck = on_stuck
        self._armed = False
        self._ringing = False
        self._passed_on = False
        self._former: Callable[[int, FrameType | None], Any] | None = None
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.stuck_at = self.ends + grace
        self.rung = False
        self.given_up = False

    def is_running(self) -> bool:
        """Whether the call has not come back yet; nothing that follows it has happened by then."""
        return self._armed

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns; StepTimeout when it took too long, even if it swallowed that.

        A StepTimeout whose `deadline` is another one comes from around us: from the step that this call is made in.
        """
        result = self._call_on_timer(function) if self._in_main_thread else self._call_watched(function)
        if self.rung or self.given_up:
            raise StepTimeout(deadline=self)
        return result

    def ring(self) -> None:
        """Raise StepTimeout in the attempt's thread, until it comes back; the main thread's timer does it by itself."""
        self._ringing = True
        try:
            if self._armed and not self._in_main_thread:
                self.rung = True
                _raise_in(self._thread, StepTimeout)
        finally:
            self._ringing = False

    def give_up(self) -> None:
        """The call did not come back within the grace: have the attempt recorded in its name, once."""
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
            self._disarm()  # again, for StepTimeout may have cut the first one short

    def _disarm(self) -> None:
        """No lock here: StepTimeout may arrive right after its acquisition, and nobody would release it."""
        self._armed = False
        while self._ringing:
            time.sleep(0)
        if self.rung and not self._in_main_thread:
            _absorb(StepTimeout)

    def _call_on_timer(self, function: Callable[[], T]) -> T:
        """With the timer set to our end or to that of whoever had it before, whichever comes first."""
        started, remaining, interval = time.monotonic(), 0.0, 0.0
        former = signal.signal(signal.SIGALRM, self._on_alarm)
        self._former = former if callable(former) else None
        try:
            self._armed = True
            remaining, interval = signal.setitimer(signal.ITIMER_REAL, max(SOONEST, self.ends - started))
            if 0 < remaining < self.ends - started:
                signal.setitimer(signal.ITIMER_REAL, remaining)
            return self._call_watched(function)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former if former is not None else signal.SIG_DFL)
            if remaining and (interval or not self._passed_on):
                left = remaining - (time.monotonic() - started)
                signal.setitimer(signal.ITIMER_REAL, max(SOONEST, left), interval)

    def _on_alarm(self, number: int, frame: FrameType | None) -> Any:
        left = self.ends - time.monotonic()
        if left > 0 and self._former is not None:
            signal.setitimer(signal.ITIMER_REAL, left)
            self._passed_on = True
            self._former(number, frame)
        elif self._armed and not self.rung:
            self.rung = True
            raise StepTimeout(deadline=self)


def _raise_in(thread: int, error: type[BaseException]) -> bool:
    """Have `error` raised in a thread at its next bytecode; whether there is such a thread."""
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error)))


def _absorb(error: type[BaseException]) -> None:
    """Let what is still to be raised in this thread be raised here, where it does no harm.

    It is not taken back with NULL: up to Python 3.12 that leaves a flag up which slows every thread, and which no
    thread that is traced gets past.
    """
    with suppress(error):
        while _raise_in(threading.get_ident(), error):
            time.sleep(0)
