"""An execution in hand: its row, its history, its lease and its clock, as its owner knows them."""

from __future__ import annotations

import datetime as dt
import math
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.exceptions import SagaError
from sagas.definition.saga import Saga
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.storage import database

from . import planner
from .history import History, PastAttempt, past_attempt
from .lease_renewal import HEARTBEAT

HOST = socket.gethostname()[:60]


class LeaseLost(SagaError):
    """The row is not ours any more: whoever has it goes on, and what we know is void."""


def copy_json(stored: Any) -> Any:
    """A copy, all the way down, of something that is JSON; quicker than there and back through its text."""
    if isinstance(stored, dict):
        return {key: copy_json(value) for key, value in stored.items()}
    if isinstance(stored, list):
        return [copy_json(value) for value in stored]
    return stored


def worker_name() -> str:
    """Host, process and, so that an owner can tell its rows from another thread's, six random digits."""
    return f"{HOST}:{os.getpid()}:{secrets.token_hex(3)}"


def load_history(execution: SagaExecution, attempts: tuple[PastAttempt, ...] | None = None) -> History:
    """The history of the execution's current run; the records are loaded unless they are given."""
    if attempts is None:
        runs = execution.step_executions.using(database.alias())
        attempts = database.persist(lambda: tuple(past_attempt(run) for run in runs.all()))
    return History(
        saga_id=execution.saga_id,
        run=execution.run,
        state=execution.state,
        plan=tuple(execution.plan),
        attempts=attempts,
        failed_step=execution.failed_step,
        budget_since=execution.budget_since,
        keys_since=execution.keys_since,
    )


class LeasedExecution:
    """Our time with one execution, from the claim to the checkpoint that gives it back.

    `renewed` is the monotonic time at which the last renewal was sent; after `stop_at`, of the clock, the row
    is given back at the next checkpoint. `when_stuck` is called when an attempt was given up as stuck. The clock
    is the database's, carried on by the monotonic one, so that hosts whose clocks differ agree on what is due.
    """

    def __init__(self, execution: SagaExecution, saga: Saga, *, sent: float, moment: dt.datetime) -> None:
        self.execution = execution
        self.saga = saga
        self.renewed = sent
        self.stop_at = math.inf
        # What has just been begun, or claimed for the first time, has no step runs.
        self.history = load_history(execution, () if execution.version <= 2 else None)
        self.context: dict[str, Any] = execution.context
        self._moment, self._received = moment, CLOCK.elapsed()
        self.when_stuck: Callable[[], None] | None = None
        self._shared = not database.in_tests_transaction()
        if self._shared:
            HEARTBEAT.add(self)

    @property
    def fence(self) -> tuple[int, int]:
        """The row's id and the version we hold it at."""
        return self.execution.pk, self.execution.version

    @property
    def shared(self) -> bool:
        """Whether others can see the row; within a test's transaction nobody can."""
        return self._shared

    def now(self) -> dt.datetime:
        """The time, aware, UTC."""
        return self._moment + dt.timedelta(seconds=CLOCK.elapsed() - self._received)

    @property
    def over(self) -> bool:
        """Whether the time we wanted to spend on it has passed."""
        return CLOCK.elapsed() >= self.stop_at

    def context_copy(self) -> dict[str, Any]:
        """A context that an attempt may write into."""
        copy: dict[str, Any] = copy_json(self.context)
        return copy

    def reload(self) -> None:
        """Take the row and its history as they are in the database; LeaseLost when they are another's."""
        worker = self.execution.worker
        database.persist(lambda: self.execution.refresh_from_db(using=database.alias()))
        if self.execution.worker != worker:
            raise LeaseLost(f"{self.execution.saga_id!r} is not ours any more")
        self.history, self.context = load_history(self.execution), self.execution.context

    def next_move(self) -> planner.Move:
        """What the planner says now."""
        return planner.next_move(self.saga, self.history, self.now())

    def ensure_lease(self) -> None:
        """No action starts in the second half of a lease (promise 8): renew first, or LeaseLost."""
        half = get_settings().LEASE / 2
        if time.monotonic() < self.renewed + half:
            return
        sent = time.monotonic()
        renewed = database.persist(lambda: storage.renew([self.fence], lease=get_settings().LEASE))
        if not renewed or time.monotonic() >= sent + half:
            raise LeaseLost(f"the lease of {self.execution.saga_id!r} ran out")
        self.renewed = sent

    def give_up_thread(self) -> None:
        """Its thread is stuck: nothing is renewed for it any more, and who counts on the thread gets to know."""
        self.end()
        if self.when_stuck:
            self.when_stuck()

    def end(self) -> None:
        """We have given the row back, or it was taken."""
        HEARTBEAT.discard(self)
