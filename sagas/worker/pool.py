"""The threads of a worker process: each runs one execution at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from django.db import Error as DatabaseError
from django.db import close_old_connections, connections
from django.db.models import F
from django.db.models.functions import Least

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.saga import Saga
from sagas.engine import runner
from sagas.engine.leased_execution import LeasedExecution, LeaseLost
from sagas.engine.logs import log, where
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.querysets import ago
from sagas.storage import database

from .quarantine import hold_unreadable

Job = tuple[SagaExecution, Saga, float]

UNTIL_EXIT = 2.0


class Slot:
    """The place of one thread in the pool. A new thread gets the place of a thread that is stuck in a step."""

    def __init__(self) -> None:
        self.leased: LeasedExecution | None = None
        self.replaced = False


class Pool:
    """Up to `size` threads. The pool starts a thread when it needs one.

    The pool calls `on_unusable` when it has no thread and cannot start one, or when `size` threads are stuck.
    """

    def __init__(self, size: int, on_unusable: Callable[[], None]) -> None:
        self.size = size
        self.stuck = 0
        self._on_unusable = on_unusable
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._slots: set[Slot] = set()
        # The keys are id(execution), not the primary key: an execution may be claimed again before the thread that
        # parked it has removed the first object from this dict.
        self._executions: dict[int, SagaExecution] = {}
        self._draining = False

    @property
    def running(self) -> int:
        """The number of running executions. Stuck executions do not count."""
        return len(self._executions)

    @property
    def free(self) -> int:
        """The number of executions that the pool can accept now."""
        return 0 if self._draining else self.size - self.running

    def wait_for_free(self, seconds: float) -> int:
        """Wait until a thread is free, at most `seconds`. Return the number of free threads."""
        with self._changed:
            self._changed.wait_for(lambda: self.free > 0 or self._draining, seconds)
            return self.free

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no execution runs, at most `seconds`. Return whether the pool is idle."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._executions, seconds)

    def has_recoveries(self, count: int) -> bool:
        """Return whether a running execution had at least `count` recoveries since its last checkpoint."""
        with self._changed:
            return any(execution.recoveries >= count for execution in self._executions.values())

    def run(self, jobs: Sequence[Job]) -> None:
        """Run executions that were claimed for the free threads."""
        with self._changed:
            self._executions |= {id(execution): execution for execution, _, _ in jobs}
            missing = min(self.size, self.running) - len(self._slots)
        for _ in range(missing):
            self._add_thread()
        for job in jobs:
            self._jobs.put(job)

    def drain(self) -> None:
        """Accept no more executions. Each running execution is parked after its current attempt, and is due at once."""
        with self._changed:
            if self._draining:
                return
            self._draining = True
            for slot in self._slots:
                self._jobs.put(None)
                if slot.leased:
                    slot.leased.stop_at = CLOCK.elapsed()
            self._changed.notify_all()

    def uncount_recoveries(self) -> None:
        """Decrement `recoveries` of each running execution.

        The exit of this process ends these executions. Their next claim increments `recoveries`, but this is no crash.
        """
        with self._changed:
            running = [slot.leased for slot in self._slots if slot.leased]
        for leased in running:
            leased.stop_renewals()  # because a renewal postpones the next claim
            pk, version = leased.fence
            soon = ago(-UNTIL_EXIT)
            row = SagaExecution.objects.using(database.alias()).filter(pk=pk, version=version, leased=True)
            row.update(recoveries=F("recoveries") - 1, due_at=soon, rank_at=Least(F("rank_at"), soon))

    def _add_thread(self) -> None:
        slot = Slot()
        with self._changed:
            self._slots.add(slot)
            number = len(self._slots)
        # Not a daemon thread, so that Python waits for it after the main thread has ended.
        thread = threading.Thread(target=self._work, args=[slot], name=f"sagas-{number}")
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left: continue with the existing threads
            log(logging.ERROR, "thread.unavailable", running=self.running)
            with self._changed:
                self._slots.discard(slot)
                unusable = not self._slots
            if unusable:
                self._on_unusable()

    def _work(self, slot: Slot) -> None:
        while not slot.replaced and (job := self._jobs.get()) is not None:
            self._run_safely(slot, job)
            with self._changed:
                slot.leased = None
                if not slot.replaced:
                    del self._executions[id(job[0])]
                    self._changed.notify_all()
        with self._changed:
            self._slots.discard(slot)
            self.stuck -= slot.replaced
        connections.close_all()

    def _run_safely(self, slot: Slot, job: Job) -> None:
        """Run the job and log any exception, so that the thread continues.

        A row that stays leased is claimed again when its lease has expired.
        """
        try:
            self._run(slot, *job)
        except LeaseLost:
            log(logging.WARNING, "lease.taken", saga_id=job[0].saga_id, saga=job[0].saga_name)
        except DatabaseError as error:
            _log_error("execution.interrupted", job[0], error)
        except BaseException as error:  # noqa: BLE001  (a step may also raise SystemExit)
            _log_error("execution.failed", job[0], error, where=where(error))

    def _run(self, slot: Slot, execution: SagaExecution, saga: Saga, sent: float) -> None:
        close_old_connections()
        try:
            leased = LeasedExecution(execution, saga, sent=sent, moment=execution.claimed_at)
        except UnreadableRow as error:
            hold_unreadable(execution, error)
            return
        leased.when_stuck = lambda: self._replace_stuck(slot, leased, execution)
        with self._changed:
            slot.leased = leased
            if self._draining:
                leased.stop_at = CLOCK.elapsed()
        runner.run(leased)

    def _replace_stuck(self, slot: Slot, leased: LeasedExecution, execution: SagaExecution) -> None:
        """Free the place of a thread that is stuck in a step, unless the step has just returned."""
        with self._changed:
            if slot.leased is not leased or id(execution) not in self._executions:
                return
            slot.replaced = True
            slot.leased = None
            self._slots.discard(slot)
            del self._executions[id(execution)]
            self.stuck += 1
            unusable = self.stuck >= self.size
            self._changed.notify_all()
        if unusable:
            self._on_unusable()


def _log_error(event: str, execution: SagaExecution, error: BaseException, **details: object) -> None:
    details |= {"saga_id": execution.saga_id, "saga": execution.saga_name, "error_type": type(error).__name__}
    log(logging.ERROR, event, **details)
