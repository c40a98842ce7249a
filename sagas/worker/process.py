"""A worker process: it claims when the bell rings, reports itself, and leaves in peace."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from django.db import Error as DatabaseError
from django.db import connections
from django.db.models.functions import Now
from django_q.conf import Conf
from django_q.signals import post_spawn

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.exceptions import UnreadableRow
from sagas.definition.registry import all_sagas
from sagas.engine.leased_execution import HOST, worker_name
from sagas.engine.logs import log
from sagas.models import SagaExecution, SagaWorker
from sagas.models.querysets import ago
from sagas.storage import database

from . import unregistered_sagas
from .executors import keep_open_until_after
from .pool import Pool
from .quarantine import readable_of
from .reports import LINE, Report
from .shared import CLUSTER
from .sigterm import SigtermWatch

LOOK_AROUND = 0.1
TELL_EVERY = 1.0
SUSPECTS_EVERY = 0.5
LINGER = 0.002
AFTER_AN_ERROR = 1.0
LONG_DEAD = 3600.0
LONGEST_SILENCE = 5.0


class WorkerProcess:
    """What a worker process has beside its main thread: the pool, and two threads that watch and report."""

    def __init__(self) -> None:
        self.name = worker_name()
        self.pool = Pool(get_settings().WORKER_THREADS, self.leave)
        # Not an Event: a second signal, while the first one's handler sets it, would wait for that handler's lock.
        self._leaving = False
        self._exiting = False
        self._drained = threading.Event()
        self._reported = threading.Event()
        self._claiming = threading.Lock()
        self._in_ring = False
        self._look_for_suspects = 0.0
        self._answered = 0
        self._tell_at = 0.0
        self._claims = 0

    def start(self) -> None:
        """Begin to watch and to report; the pool starts its threads when it has something to do."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._sigterm = SigtermWatch()
        keep_open_until_after(self._let_end_what_runs)
        # Not a daemon: the process waits for it, and it has the last word.
        threading.Thread(target=self._watch, name="sagas-watch").start()
        threading.Thread(target=self._report_always, name="sagas-report", daemon=True).start()

    @property
    def stopping(self) -> bool:
        """Whether nothing more is claimed here."""
        return self._leaving or CLUSTER.stopping or CLUSTER.orphaned()

    def answer(self) -> None:
        """Claim as many executions as there are free threads, until nothing is due."""
        self._in_ring = True
        self._answered += 1
        try:
            while not self.stopping:
                if self.pool.wait_for_free(LOOK_AROUND) and not self._claim():
                    break
        except DatabaseError as error:
            log(logging.WARNING, "claim.failed", error_type=type(error).__name__)
            connections[database.alias()].close()
            time.sleep(AFTER_AN_ERROR)
        finally:
            self._in_ring = False
        if self._leaving:
            self._exit()

    def leave(self) -> None:
        """End this process; django-q2 replaces it. The signal makes the main thread let go of its queue first."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _claim(self) -> int:
        """Claim for our free threads; how many executions were found."""
        if self.pool.free < self.pool.size:
            time.sleep(LINGER)  # others end in the same moment, and one claim serves them all
        with self._claiming:
            return 0 if self.stopping else self._claim_for(self.pool.free)

    def _claim_for(self, free: int) -> int:
        """Claim for so many threads; how many were found.

        Whoever takes a process down takes its neighbours down with it, and they all come due in the same moment. So
        that a neighbour is not put aside with the culprit, those that may not lose their worker once more have
        none of their kind beside them.
        """
        last_chance = get_settings().MAX_RECOVERIES - 1
        found = 0
        if last_chance and time.monotonic() >= self._look_for_suspects and not self.pool.has_died_often(last_chance):
            found = self._take(1, (last_chance, storage.UNLIMITED_RECOVERIES))
            self._look_for_suspects = time.monotonic() + (0.0 if found else SUSPECTS_EVERY)
        most = last_chance - 1 if last_chance else storage.UNLIMITED_RECOVERIES
        return found + (self._take(free - found, (0, most)) if free > found else 0)

    def _take(self, count: int, deaths: tuple[int, int]) -> int:
        sagas, sent, worker = all_sagas(), time.monotonic(), worker_name()
        lease = get_settings().LEASE
        tries = itertools.count()

        def claim() -> list[SagaExecution]:
            # The answer to the first try may have got lost; a second claim would take others.
            try:
                found = storage.find_all_claimed(worker=worker) if next(tries) else []
                return found or storage.claim_due(count, list(sagas), worker=worker, lease=lease, recoveries=deaths)
            except UnreadableRow:
                return readable_of(worker)

        claimed = database.persist(claim)
        if claimed:
            CLUSTER.claimed()
            self._claims += len(claimed)
        self.pool.run([(execution, sagas[execution.saga_name], sent) for execution in claimed])
        return len(claimed)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._leaving = True
        # Once it has left its queue, it only waits for the attempts in hand; an exception would end that wait.
        if not self._in_ring and not self._exiting and threading.main_thread().is_alive():
            self._exit()

    def _exit(self) -> NoReturn:
        """Have the main thread leave its queue and end; another signal must not interrupt that."""
        self._exiting = True
        sys.exit(0)

    def _let_end_what_runs(self) -> None:
        """Whatever made the main thread leave its queue, it ends after those that it has claimed for."""
        self._exiting = self._leaving = True
        self._drained.wait(get_settings().DRAIN_SECONDS)

    def _watch(self) -> None:
        """Wait for a reason to leave; let what runs finish its attempt, and go when the drain is over."""
        main = threading.main_thread()
        while main.is_alive() and not self.stopping:
            self._tell_now_and_then()
            if self._sigterm.came():
                self._sigterm.repeat()
            main.join(LOOK_AROUND)
        self._tell_at = 0.0
        give_up = time.monotonic() + get_settings().DRAIN_SECONDS
        # What is just being claimed must get to its threads before these are told that nothing more will come.
        claimed = self._comes(lambda seconds: self._claiming.acquire(timeout=seconds), give_up)
        self.pool.drain()
        if claimed:
            self._claiming.release()
        idle = self._comes(self.pool.wait_until_idle, give_up)
        log(logging.INFO if idle else logging.WARNING, "worker.drained", worker=self.name, running=self.pool.running)
        self._leaving = True
        self._drained.set()
        self._reported.wait(AFTER_AN_ERROR)
        while main.is_alive() and not CLUSTER.orphaned() and time.monotonic() < give_up:
            self._tell_now_and_then()
            main.join(LOOK_AROUND)
        LINE.tell(Report("worker", os.getpid(), left=True))
        logging.shutdown()
        os._exit(0)

    def _comes(self, wait: Callable[[float], bool], give_up: float) -> bool:
        """Whether it comes in time; whoever waits tells that it lives, for a drain may last longer than silence may."""
        while not (came := wait(LOOK_AROUND)) and time.monotonic() < give_up:
            self._tell_now_and_then()
        return came

    def _tell_now_and_then(self) -> None:
        """Tell the supervisor; the database learns of us at its own pace."""
        if time.monotonic() < self._tell_at:
            return
        self._tell_at = time.monotonic() + TELL_EVERY
        LINE.tell(
            Report(
                "worker",
                os.getpid(),
                name=self.name,
                free=self.pool.free,
                answered=self._answered,
                ringing=self._in_ring,
                draining=self.stopping or not threading.main_thread().is_alive(),
            )
        )

    def _report_always(self) -> None:
        self._safely(_forget_the_dead)
        while not self._drained.is_set():
            self._safely(self._report)
            self._drained.wait(min(get_settings().beat, LONGEST_SILENCE))
        self._safely(self._sign_off)
        self._reported.set()

    def _safely(self, report: Any) -> None:
        """The thread outlives whatever goes wrong in it: who is silent looks dead to all others."""
        try:
            report()
        except Exception as error:  # noqa: BLE001  (see above)
            log(logging.WARNING, "report.failed", error_type=type(error).__name__)
        finally:
            connections.close_all()  # the pool's threads, the main thread and the heartbeat keep theirs

    def _report(self) -> None:
        pool = self.pool
        now = {
            "seen_at": Now(),
            "running": pool.running,
            "free": pool.free,
            "stuck": pool.stuck,
            "claims": self._claims,
        }
        where = {
            "host": HOST,
            "pid": os.getpid(),
            "process_group": os.getpgrp(),
            "cluster": Conf.CLUSTER_NAME,
            "knows": sorted(all_sagas()),
        }
        rows = SagaWorker.objects.using(database.alias())
        rows.update_or_create(
            name=self.name,
            defaults=now | {"draining": self.stopping},
            create_defaults=now | where | {"started_at": Now()},
        )
        unregistered_sagas.hold_what_nobody_knows()

    def _sign_off(self) -> None:
        self.pool.excuse()
        SagaWorker.objects.using(database.alias()).filter(name=self.name).delete()


def _forget_the_dead() -> None:
    """Workers that were killed leave their rows behind; after an hour nobody misses them."""
    SagaWorker.objects.using(database.alias()).filter(seen_at__lt=ago(LONG_DEAD)).delete()


_here: WorkerProcess | None = None


def await_spawn() -> None:
    """Become a WorkerProcess in each worker that django-q2 forks from this process."""
    post_spawn.connect(_on_spawn, dispatch_uid="sagas.worker")


def is_worker() -> bool:
    """Whether this process has become one."""
    return _here is not None


def answer() -> None:
    """The bell's task, in a worker's main thread."""
    if _here:
        _here.answer()


def _on_spawn(**_: Any) -> None:
    global _here
    _here = WorkerProcess()
    _here.start()
