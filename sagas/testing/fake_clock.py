"""A clock that tests move forward, and a function that does the work of the workers."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.registry import all_sagas
from sagas.engine import runner
from sagas.engine.leased_execution import LeasedExecution, LeaseLost, worker_name
from sagas.models.clock import CLOCK

A_YEAR = 366 * 86400.0


class FakeClock:
    """A context manager that replaces the waits of sagas in this process: `execute` and `wait` move the clock forward.

    Use it in a process without workers. Timeouts of attempts, and the times that Django itself stores, stay real.
    """

    def __enter__(self) -> Self:
        CLOCK.jumps = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        CLOCK.jumps, CLOCK.ahead = False, 0.0

    @property
    def now(self) -> dt.datetime:
        """Return the time of this clock, aware, in UTC."""
        return CLOCK.by_host()

    def advance(self, seconds: float = 0.0, **more: float) -> None:
        """Move the clock forward by seconds or by arguments of timedelta, for example `advance(hours=25)`."""
        CLOCK.ahead += dt.timedelta(seconds=seconds, **more).total_seconds()


def drain(clock: FakeClock | None = None) -> int:
    """Run all due executions in this process, as workers do, and return the number of claims.

    With a clock, move it forward and run the waiting executions as well. This also works inside a test's transaction.
    """
    claims, sagas = 0, all_sagas()
    while True:
        sent = time.monotonic()
        claimed = storage.claim_due(1, list(sagas), worker=worker_name(), lease=get_settings().LEASE)
        if claimed:
            claims, execution = claims + 1, claimed[0]
            with suppress(LeaseLost):  # another worker continues the execution
                saga = sagas[execution.saga_name]
                runner.run(LeasedExecution(execution, saga, sent=sent, moment=execution.claimed_at))
            continue
        until_due = storage.due_in(A_YEAR, list(sagas)) if clock else A_YEAR
        if clock is None or until_due >= A_YEAR:
            return claims
        clock.advance(until_due + 0.001)
