"""The threads of a worker process: each runs one execution at a time, and nothing is claimed that has no thread."""

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

UNTIL_WE_ARE_GONE = 2.0


class Slot:
    """One thread's place in the pool; taken away from it when its step is stuck."""

    def __init__(self) -> None:
        self.leased: LeasedExecution | None = None
        self.taken_away = False


class Pool:
    """`size` threads, started as they are needed. `on_helpless` is called when so many steps are stuck at once, or no
    thread can be had."""

    def __init__(self, size: int, on_helpless: Callable[[], None]) -> None:
        self.size = size
        self.stuck = 0
        self._on_helpless = on_helpless
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._slots: set[Slot] = set()
        # By identity: what was parked may be claimed again before its thread is done with it.
        self._in_hand: dict[int, SagaExecution] = {}
        self._draining = False

    @property
    def running(self) -> int:
        """How many executions are in hand, those that are stuck not counted."""
        return len(self._in_hand)

    @property
    def free(self) -> int:
        """How many more could be run."""
        return 0 if self._draining else self.size - self.running

    def wait_for_free(self, seconds: float) -> int:
        """How many threads are free, after waiting for one for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: self.free > 0 or self._draining, seconds)
            return self.free

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether nothing runs any more, after waiting for that for so many seconds at most."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_hand, seconds)

    def has_died_often(self, deaths: int) -> bool:
        """Whether an execution is in hand that has lost its worker so many times since it last got on."""
        with self._changed:
            return any(execution.recoveries >= deaths for execution in self._in_hand.values())

    def run(self, jobs: Sequence[Job]) -> None:
        """Run what has been claimed for our free threads."""
        with self._changed:
            self._in_hand |= {id(execution): execution for execution, _, _ in jobs}
            missing = min(self.size, self.running) - len(self._slots)
        for _ in range(missing):
            self._add_thread()
        for job in jobs:
            self._jobs.put(job)

    def drain(self) -> None:
        """Take nothing more; what runs is given back after its attempt, due at once."""
        with self._changed:
            if self._draining:
                return
            self._draining = True
            for slot in self._slots:
                self._jobs.put(None)
                if slot.leased:
                    slot.leased.stop_at = CLOCK.elapsed()
            self._changed.notify_all()

    def excuse(self) -> None:
        """What still runs ends with this process, which no step is to blame for: its next claim counts no death."""
        with self._changed:
            tenures = [slot.leased for slot in self._slots if slot.leased]
        for leased in tenures:
            leased.end()  # a renewal would have it wait for the end of its lease
            pk, version = leased.fence
            soon = ago(-UNTIL_WE_ARE_GONE)
            ours = SagaExecution.objects.using(database.alias()).filter(pk=pk, version=version, leased=True)
            ours.update(recoveries=F("recoveries") - 1, due_at=soon, rank_at=Least(F("rank_at"), soon))

    def _add_thread(self) -> None:
        slot = Slot()
        with self._changed:
            self._slots.add(slot)
            number = len(self._slots)
        # Not daemons: the process waits for them when its main thread has ended.
        thread = threading.Thread(target=self._work, args=[slot], name=f"sagas-{number}")
        try:
            thread.start()
        except RuntimeError:
            self._do_without(slot)

    def _do_without(self, slot: Slot) -> None:
        """The system has no more threads: those there are work the queue off; without any, the process is of no use."""
        log(logging.ERROR, "thread.refused", running=self.running)
        with self._changed:
            self._slots.discard(slot)
            helpless = not self._slots
        if helpless:
            self._on_helpless()

    def _work(self, slot: Slot) -> None:
        while not slot.taken_away and (job := self._jobs.get()) is not None:
            self._run_safely(slot, job)
            with self._changed:
                slot.leased = None
                if not slot.taken_away:
                    del self._in_hand[id(job[0])]
                    self._changed.notify_all()
        with self._changed:
            self._slots.discard(slot)
            self.stuck -= slot.taken_away
        connections.close_all()

    def _run_safely(self, slot: Slot, job: Job) -> None:
        """The thread outlives whatever goes wrong in it; a row that it leaves leased runs out and is claimed again."""
        try:
            self._run(slot, *job)
        except LeaseLost:
            log(logging.WARNING, "lease.taken", saga_id=job[0].saga_id, saga=job[0].saga_name)
        except DatabaseError as error:
            details = {"saga_id": job[0].saga_id, "saga": job[0].saga_name, "error_type": type(error).__name__}
            log(logging.ERROR, "execution.interrupted", **details)
        except BaseException as error:  # noqa: BLE001  (see above; SystemExit out of a step is one step's)
            details = {"saga_id": job[0].saga_id, "saga": job[0].saga_name, "error_type": type(error).__name__}
            log(logging.ERROR, "execution.failed", where=where(error), **details)

    def _run(self, slot: Slot, execution: SagaExecution, saga: Saga, sent: float) -> None:
        close_old_connections()
        try:
            leased = LeasedExecution(execution, saga, sent=sent, moment=execution.claimed_at)
        except UnreadableRow as error:
            hold_unreadable(execution, error)
            return
        leased.when_stuck = lambda: self._take_away(slot, leased, execution)
        with self._changed:
            slot.leased = leased
            if self._draining:
                leased.stop_at = CLOCK.elapsed()
        runner.run(leased)

    def _take_away(self, slot: Slot, leased: LeasedExecution, execution: SagaExecution) -> None:
        """The thread is stuck in its step: let another have its place; unless it came back while that was written."""
        with self._changed:
            if slot.leased is not leased or id(execution) not in self._in_hand:
                return
            slot.taken_away = True
            slot.leased = None
            self._slots.discard(slot)
            del self._in_hand[id(execution)]
            self.stuck += 1
            helpless = self.stuck >= self.size
            self._changed.notify_all()
        if helpless:
            self._on_helpless()
