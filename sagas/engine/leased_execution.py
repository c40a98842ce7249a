"""An execution while a worker owns it: its row, history, context, lease and clock.

Promises: docs/GUARANTEES.md.
"""

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
    """Another owner has the row. What the previous owner holds in memory is no longer valid."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"the lease of {saga_id!r} is lost")


def copy_json(value: Any) -> Any:
    """Return a deep copy of a JSON value. Faster than to encode and decode the value."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def worker_name() -> str:
    """Return "host:process:six random hexadecimal digits".

    The digits make the name new for each claim, so that a lost answer can be looked up by the name (promise 10).
    """
    return f"{HOST}:{os.getpid()}:{secrets.token_hex(3)}"


def load_history(execution: SagaExecution, attempts: tuple[PastAttempt, ...] | None = None) -> History:
    """Return the history of the execution's current run.

    Loads the attempts unless `attempts` has them. Raises UnreadableRow if newer code wrote a step run that this code
    does not know.
    """
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
    """One execution, from the claim to the checkpoint that gives it back.

    `sent` and `renewed` are monotonic times: when the claim and the last renewal were sent. After `stop_at`, a time
    of CLOCK, the next attempt's checkpoint gives the row back; `leaving` is true once that is decided, and
    `interruption` is the exception that `run` raises after it. `when_stuck` is called if the attempt's thread is
    given up as stuck.

    `moment` is the database's time of the claim. The time now is `moment` plus the monotonic time since then, so that
    hosts with different clocks agree on what is due.
    """

    def __init__(self, execution: SagaExecution, saga: Saga, *, sent: float, moment: dt.datetime) -> None:
        self.execution = execution
        self.saga = saga
        self.renewed = sent
        self.stop_at = math.inf
        self.leaving = False
        self.interruption: BaseException | None = None
        self.when_stuck: Callable[[], None] | None = None
        # Up to version 2 an execution has been inserted and claimed once at most, so it has no step runs.
        self.history = load_history(execution, () if execution.version <= 2 else None)
        self.context: dict[str, Any] = execution.context
        self._moment, self._received = moment, CLOCK.elapsed()
        # Inside a test's transaction no other connection can see the row.
        self.shared = not database.in_tests_transaction()
        if self.shared:
            HEARTBEAT.add(self)

    @property
    def fence(self) -> tuple[int, int]:
        """The row's id, and the version at which this owner holds it."""
        return self.execution.pk, self.execution.version

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of every log line about this execution."""
        return {"saga_id": self.execution.saga_id, "saga": self.execution.saga_name}

    def now(self) -> dt.datetime:
        """Return the database's time, aware, UTC."""
        return self._moment + dt.timedelta(seconds=CLOCK.elapsed() - self._received)

    def reload(self) -> None:
        """Read the row and its history again. Raise LeaseLost if another owner has the row."""
        worker = self.execution.worker
        database.persist(lambda: self.execution.refresh_from_db(using=database.alias()))
        if self.execution.worker != worker:
            raise LeaseLost(self.execution.saga_id)
        self.history, self.context = load_history(self.execution), self.execution.context

    def next_move(self) -> planner.Move:
        """Return what `planner.next_move` decides now."""
        return planner.next_move(self.saga, self.history, self.now())

    def ensure_lease(self) -> None:
        """Renew the lease if its second half has begun, because no action may start there (promise 8).

        Raises LeaseLost if another owner has the row, or if the renewal took more than half a lease.
        """
        half = get_settings().LEASE / 2
        if time.monotonic() < self.renewed + half:
            return
        sent = time.monotonic()
        renewed = database.persist(lambda: storage.renew([self.fence], lease=get_settings().LEASE))
        if not renewed or time.monotonic() >= sent + half:
            raise LeaseLost(self.execution.saga_id)
        self.renewed = sent

    def interrupt(self, interruption: BaseException | None) -> None:
        """Keep the interruption, which `run` raises later, and decide whether the next checkpoint gives the row back.

        It does after an interruption and after `stop_at`. Pass None if nothing interrupted the attempt.
        """
        self.interruption = self.interruption or interruption
        self.leaving = self.leaving or interruption is not None or CLOCK.elapsed() >= self.stop_at

    def give_up_thread(self) -> None:
        """Stop the renewals because the thread is stuck, and call `when_stuck`."""
        self.stop_renewals()
        if self.when_stuck:
            self.when_stuck()

    def stop_renewals(self) -> None:
        """Stop the heartbeat for this lease, because the row was given back or has another owner."""
        HEARTBEAT.discard(self)
