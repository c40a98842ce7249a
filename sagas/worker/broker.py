"""A django-q2 broker that wakes up the workers when an execution is due. It does not store or claim executions."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from functools import cached_property
from typing import Any, NoReturn

from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone
from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.signing import BadSignature, SignedPackage

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.exceptions import SagaError
from sagas.definition.registry import all_sagas
from sagas.engine.logs import log
from sagas.models import SagaExecution
from sagas.storage import database

from . import process
from .notifications import Notifications, notifications_of
from .supervision.processes import exit_with_sentinel
from .supervision.shared_memory import CLUSTER
from .supervision.worker_reports import REPORT_WRITER, Lifeline, Report
from .ticker import Ticker

LONGEST_WAIT = 0.2
SHORTEST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
PAUSE_AFTER_ERROR = 1.0


class OrdinaryTaskRefused(SagaError):
    """An ordinary django-q2 task was sent to the cluster that runs sagas."""

    def __init__(self) -> None:
        super().__init__("This cluster runs sagas only. Send other tasks to another django-q2 cluster.")


class SagaBroker(Broker):  # type: ignore[misc]
    """The broker of two processes: the sentinel, which forks the others, and the pusher, which calls `dequeue`."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self._pause = 0.0
        self._claims = 0
        self._parent = os.getppid()
        self._lifeline = Lifeline()
        self._is_pusher = False

    def dequeue(self) -> list[tuple[None, str]] | None:
        """Return a wake-up if an execution is due; otherwise wait for a moment and return None."""
        if CLUSTER.orphaned():
            raise SystemExit(0)
        if not self._is_pusher:
            self._is_pusher = True
            REPORT_WRITER.send(Report("pusher", os.getpid()))
            Ticker().start()
        try:
            return self._next_wake_up()
        except DatabaseError as error:
            self._pause = 0.0
            log(logging.WARNING, "pusher.failed", error_type=type(error).__name__)
            connections[database.alias()].close()
            time.sleep(PAUSE_AFTER_ERROR)
            return None

    def _next_wake_up(self) -> list[tuple[None, str]] | None:
        time.sleep(self._pause)
        self._notifications.reset()
        seconds = storage.due_in(get_settings().POLL, list(all_sagas()))
        if seconds <= 0 and not CLUSTER.stopping:
            # Double the pause while wake-ups lead to no claim, because the due executions may be locked.
            fruitless = self._pause and CLUSTER.claims == self._claims
            self._pause = min(2 * self._pause, LONGEST_PAUSE) if fruitless else SHORTEST_PAUSE
            self._claims = CLUSTER.claims
            return [(None, _wake_up())]
        self._pause = 0.0
        self._wait_for_change(seconds)
        if CLUSTER.stopping:
            time.sleep(SHORTEST_PAUSE)
        return None

    def _wait_for_change(self, seconds: float) -> None:
        """Return at the next commit, when the cluster stops, or after `seconds`."""
        stop_at = time.monotonic() + seconds
        while not CLUSTER.stopping:
            left = max(0.0, stop_at - time.monotonic())
            if self._notifications.wait(min(LONGEST_WAIT, left)) or time.monotonic() >= stop_at:
                return

    @cached_property
    def _notifications(self) -> Notifications:
        return notifications_of(connections[database.alias()])

    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        """Watch the cluster's status. The sentinel calls this before it forks, then twice a second."""
        if not CLUSTER.sentinel:
            self._become_sentinel()
        try:
            status = SignedPackage.loads(value).status
        except BadSignature:
            status = None
        if status in (Conf.STOPPING, Conf.STOPPED):
            CLUSTER.stop()
        self._end_without_parent()
        return super().set_stat(key, value, timeout)

    def _become_sentinel(self) -> None:
        """Set up the state that forked children inherit, and report to the supervisor."""
        CLUSTER.become_sentinel()
        self._lifeline.open()
        REPORT_WRITER.open()
        REPORT_WRITER.send(Report("sentinel", os.getpid(), workers=Conf.WORKERS))
        for name in all_sagas():
            REPORT_WRITER.send(Report("saga", os.getpid(), name=name))
        process.create_in_workers()
        exit_with_sentinel(process.is_worker)

    def _end_without_parent(self) -> None:
        """End the cluster if the parent of the sentinel or the supervisor has ended."""
        if os.getppid() != self._parent:
            log(logging.CRITICAL, "cluster.orphaned", pid=os.getpid())
            CLUSTER.stop()
            for child in multiprocessing.active_children():  # otherwise the monitor waits forever
                child.terminate()
            os.kill(os.getpid(), signal.SIGTERM)
        elif not CLUSTER.stopping and self._lifeline.is_cut():
            log(logging.CRITICAL, "supervisor.lost", pid=self._parent)
            os.kill(self._parent, signal.SIGTERM)

    def queue_size(self) -> int:
        """Return how many executions are due."""
        return SagaExecution.objects.using(database.alias()).of_sagas(all_sagas()).due().count()

    def lock_size(self) -> int:
        """Return how many executions are leased."""
        return SagaExecution.objects.using(database.alias()).filter(leased=True).count()

    def ping(self) -> bool:
        """Return True, because this broker has no server."""
        return True

    def info(self) -> str:
        """Return the name that `qinfo` shows."""
        return "sagas"

    def enqueue(self, task: Any) -> NoReturn:
        """Raise OrdinaryTaskRefused."""
        raise OrdinaryTaskRefused

    def purge_queue(self) -> NoReturn:
        """Raise OrdinaryTaskRefused."""
        raise OrdinaryTaskRefused

    def delete_queue(self) -> NoReturn:
        """Raise OrdinaryTaskRefused."""
        raise OrdinaryTaskRefused


def _wake_up() -> str:
    """Return a task that makes a worker claim executions. The task has no timeout, and django-q2 saves no result."""
    task = {
        "id": "0" * 32,
        "name": "sagas",
        "func": "sagas.worker.process.handle_wake_up",
        "args": (),
        "kwargs": {},
        "started": timezone.now(),
        "timeout": -1,
        "save": False,
    }
    package: str = SignedPackage.dumps(task)
    return package
