"""An execution as its current owner holds it in memory: its row, history, context, lease and clock."""

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
    """The row is not ours any more: its new owner goes on, and what we hold in memory is void."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"the lease of {saga_id!r} is lost")


def copy_json(value: Any) -> Any:
    """Return a deep copy of a JSON value; faster than encoding and decoding it."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def worker_name() -> str:
    """Return host, process and six random digits, which tell the rows of one claim from those of another thread."""
    return f"{HOST}:{os.getpid()}:{secrets.token_hex(3)}"


def load_history(execution: SagaExecution, attempts: tuple[PastAttempt, ...] | None = None) -> History:
    """Return the history of the execution's current run; its attempts are loaded unless they are given."""
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
    """One execution from the claim to the checkpoint that gives it back.

    `renewed` is the monotonic time at which the last renewal was sent. After `stop_at`, a time of CLOCK, the next
    attempt's checkpoint gives the row back; `leaving` says that this has been decided. `interruption` is what the
    engine raises then. `when_stuck` is called if an attempt's thread is given up as stuck.

    The clock is the database's, carried on by the monotonic one, so that hosts whose clocks differ agree on what is
    due.
    """

    def __init__(self, execution: SagaExecution, saga: Saga, *, sent: float, moment: dt.datetime) -> None:
        self.execution = execution
        self.saga = saga
        self.renewed = sent
        self.stop_at = math.inf
        self.leaving = False
        self.interruption: BaseException | None = None
        self.when_stuck: Callable[[], None] | None = None
        # An execution that was just inserted, or claimed for the first time, has no step runs.
        self.history = load_history(execution, () if execution.version <= 2 else None)
        self.context: dict[str, Any] = execution.context
        self._moment, self._received = moment, CLOCK.elapsed()
        # Inside a test's transaction no other connection can see the row.
        self.shared = not database.in_tests_transaction()
        if self.shared:
            HEARTBEAT.add(self)

    @property
    def fence(self) -> tuple[int, int]:
        """The row's id and the version at which we hold it."""
        return self.execution.pk, self.execution.version

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields that every log line about it has."""
        return {"saga_id": self.execution.saga_id, "saga": self.execution.saga_name}

    def now(self) -> dt.datetime:
        """Return the database's time, aware, UTC."""
        return self._moment + dt.timedelta(seconds=CLOCK.elapsed() - self._received)

    def reload(self) -> None:
        """Read the row and its history again; LeaseLost if another owner has them."""
        worker = self.execution.worker
        database.persist(lambda: self.execution.refresh_from_db(using=database.alias()))
        if self.execution.worker != worker:
            raise LeaseLost(self.execution.saga_id)
        self.history, self.context = load_history(self.execution), self.execution.context

    def next_move(self) -> planner.Move:
        """Return the planner's next move at this time."""
        return planner.next_move(self.saga, self.history, self.now())

    def ensure_lease(self) -> None:
        """Renew in the second half of the lease, in which no action may start (promise 8); LeaseLost if that fails."""
        half = get_settings().LEASE / 2
        if time.monotonic() < self.renewed + half:
            return
        sent = time.monotonic()
        renewed = database.persist(lambda: storage.renew([self.fence], lease=get_settings().LEASE))
        if not renewed or time.monotonic() >= sent + half:
            raise LeaseLost(self.execution.saga_id)
        self.renewed = sent

    def interrupt(self, interruption: BaseException | None) -> None:
        """Decide whether the next checkpoint gives the row back: after an interruption, and after `stop_at`."""
        self.interruption = self.interruption or interruption
        self.leaving = self.leaving or interruption is not None or CLOCK.elapsed() >= self.stop_at

    def give_up_thread(self) -> None:
        """Stop the renewals for a stuck thread, and report it."""
        self.stop_renewals()
        if self.when_stuck:
            self.when_stuck()

    def stop_renewals(self) -> None:
        """Take the lease off the heartbeat: the row was given back, or is not ours any more."""
        HEARTBEAT.discard(self)
