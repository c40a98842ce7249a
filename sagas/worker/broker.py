"""django-q2's broker for sagas: it looks whether something is due and rings; it neither stores nor claims."""

from __future__ import annotations

import logging
import multiprocessing
import os
import select
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
from sagas.models.querysets import ExecutionQuerySet
from sagas.storage import database

from . import orphans, process
from .notifications import Changes, changes_of
from .reports import LINE, Report
from .shared import CLUSTER
from .ticker import Pulse

LIFELINE = "SAGAS_LIFELINE"
LOOK_AROUND = 0.2
AFTER_A_BELL = 0.005
LONGEST_PAUSE = 0.25
AFTER_AN_ERROR = 1.0


class NotForTasks(SagaError):
    """Somebody sent an ordinary task to the cluster that runs sagas."""

    def __init__(self) -> None:
        super().__init__("This cluster runs sagas only; send other tasks to a django-q2 cluster of their own.")


class SagaBroker(Broker):  # type: ignore[misc]
    """Lives in the sentinel, which forks the workers and the pusher, and in the pusher, which calls `dequeue`."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self._pause = 0.0
        self._claims = 0
        self._parent = os.getppid()
        self._lifeline = ""
        self._has_told = False

    def dequeue(self) -> list[tuple[None, str]] | None:
        """A bell if something is due; else waits until something may be, for a moment at most."""
        if CLUSTER.orphaned():
            raise SystemExit(0)
        if not self._has_told:
            self._has_told = True
            LINE.tell(Report("pusher", os.getpid()))
            Pulse().start()
        try:
            return self._look()
        except DatabaseError as error:
            self._pause = 0.0
            log(logging.WARNING, "pusher.failed", error_type=type(error).__name__)
            connections[database.alias()].close()
            time.sleep(AFTER_AN_ERROR)
            return None

    def _look(self) -> list[tuple[None, str]] | None:
        time.sleep(self._pause)
        self._changes.note()
        left = storage.due_in(get_settings().POLL, list(all_sagas()))
        if left <= 0 and not CLUSTER.stopping:
            self._ring_less_in_vain()
            return [(None, _bell())]
        self._pause = 0.0
        stop_at = time.monotonic() + left
        while not (CLUSTER.stopping or self._changes.wait(min(LOOK_AROUND, max(0.0, stop_at - time.monotonic())))):
            if time.monotonic() >= stop_at:
                break
        if CLUSTER.stopping:
            time.sleep(AFTER_A_BELL)
        return None

    def _ring_less_in_vain(self) -> None:
        """What is due may be what nobody may take just now: ever longer pauses while no bell leads to a claim."""
        in_vain = self._pause and CLUSTER.claims == self._claims
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if in_vain else AFTER_A_BELL
        self._claims = CLUSTER.claims

    @cached_property
    def _changes(self) -> Changes:
        return changes_of(connections[database.alias()])

    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        """Only a sentinel calls this, before it forks and then twice a second: how the workers learn of a stop."""
        if not CLUSTER.sentinel:
            self._found()
        try:
            status = SignedPackage.loads(value).status
        except BadSignature:
            status = None
        if status in (Conf.STOPPING, Conf.STOPPED):
            CLUSTER.stop()
        self._end_without_parent()
        return super().set_stat(key, value, timeout)

    def _found(self) -> None:
        """From here on the children know whose they are, and the supervisor who we are."""
        CLUSTER.founded_here()
        # Out of the environment: to what a step starts, the number would mean another file.
        self._lifeline = os.environ.pop(LIFELINE, "")
        LINE.take_up()
        LINE.tell(Report("sentinel", os.getpid(), workers=Conf.WORKERS))
        for name in all_sagas():
            LINE.tell(Report("saga", os.getpid(), name=name))
        process.await_spawn()
        orphans.leave_with_the_sentinel()

    def _end_without_parent(self) -> None:
        """A sentinel without its parent, or a parent without its supervisor, would go on for ever unseen."""
        if os.getppid() != self._parent:
            log(logging.CRITICAL, "cluster.orphaned", pid=os.getpid())
            CLUSTER.stop()
            for child in multiprocessing.active_children():  # the monitor would wait for ever
                child.terminate()
            os.kill(os.getpid(), signal.SIGTERM)
        elif not CLUSTER.stopping and self._lifeline_cut():
            log(logging.CRITICAL, "supervisor.lost", pid=self._parent)
            os.kill(self._parent, signal.SIGTERM)

    def _lifeline_cut(self) -> bool:
        """Whether the supervisor's end of its pipe is closed."""
        return bool(self._lifeline) and bool(select.select([int(self._lifeline)], [], [], 0)[0])

    def queue_size(self) -> int:
        """How many executions are due."""
        return _executions().of_sagas(all_sagas()).due().count()

    def lock_size(self) -> int:
        """How many executions workers have in hand."""
        return _executions().filter(leased=True).count()

    def ping(self) -> bool:
        """Nothing has to be reached to ring."""
        return True

    def info(self) -> str:
        """What `qinfo` shows."""
        return "sagas"

    def enqueue(self, task: Any) -> NoReturn:
        """Refused: NotForTasks."""
        raise NotForTasks

    def purge_queue(self) -> NoReturn:
        """Refused: NotForTasks."""
        raise NotForTasks

    def delete_queue(self) -> NoReturn:
        """Refused: NotForTasks."""
        raise NotForTasks


def _executions() -> ExecutionQuerySet:
    return SagaExecution.objects.using(database.alias())


def _bell() -> str:
    """An empty task: it makes a worker look for itself. Nobody waits for its result, and no clock runs for it."""
    task = {
        "id": "0" * 32,
        "name": "sagas",
        "func": "sagas.worker.process.answer",
        "args": (),
        "kwargs": {},
        "started": timezone.now(),
        "timeout": -1,
        "save": False,
    }
    package: str = SignedPackage.dumps(task)
    return package
