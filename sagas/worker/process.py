"""A worker process. It claims executions at a wake-up, and drains when it must stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from django_q.signals import post_spawn

from sagas.conf import get_settings
from sagas.engine.leased_execution import worker_name
from sagas.engine.logs import log

from .claiming import Claimer
from .pool import Pool
from .sigterm import SigtermWatch, wait_before_executors_close
from .supervision.shared_memory import CLUSTER
from .supervision.worker_reports import REPORT_WRITER, Report
from .worker_row import WorkerRow

CHECK_EVERY = 0.1
REPORT_EVERY = 1.0
SIGN_OFF_SECONDS = 1.0


class WorkerProcess:
    """A worker process and its threads.

    The main thread claims executions, and the pool's threads run them. One more thread watches for the stop, and one
    updates the worker's row in the database.
    """

    def __init__(self) -> None:
        self.name = worker_name()
        self.pool = Pool(get_settings().WORKER_THREADS, self.leave)
        self._claimer = Claimer(self.pool, lambda: self.stopping)
        self._row = WorkerRow(self.name, self.pool, self._claimer, lambda: self.stopping)
        # Not Events: setting an Event takes a lock. A second signal may interrupt the first signal's handler while it
        # holds the lock; the second handler would then wait forever.
        self._leaving = False
        self._exiting = False
        self._drained = threading.Event()
        self._report_at = 0.0

    def start(self) -> None:
        """Start the two threads that watch and report. The pool starts its threads when there is work."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._sigterm = SigtermWatch()
        wait_before_executors_close(self._wait_for_drain)
        # Not a daemon thread: Python waits for this thread at exit, and this thread ends the process.
        threading.Thread(target=self._watch, name="sagas-watch").start()
        threading.Thread(target=self._row.update_until, args=[self._drained], name="sagas-report", daemon=True).start()

    @property
    def stopping(self) -> bool:
        """Whether this process has stopped claiming executions."""
        return self._leaving or CLUSTER.stopping or CLUSTER.orphaned()

    def handle_wake_up(self) -> None:
        """Claim due executions. Exit if SIGTERM arrived meanwhile."""
        self._claimer.claim_all()
        if self._leaving:
            self._exit()

    def leave(self) -> None:
        """Drain and end this process, which django-q2 then replaces. SIGTERM makes the main thread leave its queue."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._leaving = True
        # An exception must interrupt neither a claim nor the wait for running attempts at exit.
        if not self._claimer.active and not self._exiting and threading.main_thread().is_alive():
            self._exit()

    def _exit(self) -> NoReturn:
        """Make the main thread leave its queue and end. A second signal must not interrupt this."""
        self._exiting = True
        sys.exit(0)

    def _wait_for_drain(self) -> None:
        """Wait until the pool has drained. Python calls this when the main thread ends, for any reason."""
        self._exiting = self._leaving = True
        self._drained.wait(get_settings().DRAIN_SECONDS)

    def _watch(self) -> None:
        """Wait until this process must stop, then drain the pool and exit."""
        main = threading.main_thread()
        while main.is_alive() and not self.stopping:
            self._report()
            if self._sigterm.received():
                self._sigterm.repeat()
            main.join(CHECK_EVERY)
        self._report_at = 0.0
        deadline = time.monotonic() + get_settings().DRAIN_SECONDS
        self._drain(deadline)
        self._row.deleted.wait(SIGN_OFF_SECONDS)
        while main.is_alive() and not CLUSTER.orphaned() and time.monotonic() < deadline:
            self._report()
            main.join(CHECK_EVERY)
        REPORT_WRITER.send(Report("worker", os.getpid(), left=True))
        logging.shutdown()
        os._exit(0)

    def _drain(self, deadline: float) -> None:
        """Wait until the running attempts have ended, at most until the deadline."""
        # A claim in progress must hand its executions to the pool before the pool drains.
        locked = self._wait(lambda seconds: self._claimer.lock.acquire(timeout=seconds), deadline)
        self.pool.drain()
        if locked:
            self._claimer.lock.release()
        idle = self._wait(self.pool.wait_until_idle, deadline)
        log(logging.INFO if idle else logging.WARNING, "worker.drained", worker=self.name, running=self.pool.running)
        self._leaving = True
        self._drained.set()

    def _wait(self, wait: Callable[[float], bool], deadline: float) -> bool:
        """Call `wait` until it returns True or the deadline has passed. Report to the supervisor between the calls."""
        while not (done := wait(CHECK_EVERY)) and time.monotonic() < deadline:
            self._report()
        return done

    def _report(self) -> None:
        """Report to the supervisor, at most every REPORT_EVERY seconds."""
        if time.monotonic() < self._report_at:
            return
        self._report_at = time.monotonic() + REPORT_EVERY
        REPORT_WRITER.send(
            Report(
                "worker",
                os.getpid(),
                name=self.name,
                free=self.pool.free,
                wake_ups=self._claimer.wake_ups,
                claiming=self._claimer.active,
                draining=self.stopping or not threading.main_thread().is_alive(),
            )
        )


_worker: WorkerProcess | None = None


def create_in_workers() -> None:
    """Create a WorkerProcess in each worker that django-q2 forks from this process."""
    post_spawn.connect(_on_spawn, dispatch_uid="sagas.worker")


def is_worker() -> bool:
    """Whether this process is a worker."""
    return _worker is not None


def handle_wake_up() -> None:
    """Handle a wake-up task. django-q2 calls this in the main thread of a worker."""
    if _worker:
        _worker.handle_wake_up()


def _on_spawn(**_: Any) -> None:
    global _worker
    _worker = WorkerProcess()
    _worker.start()
