"""A clock that tests turn forward, and workers that run on demand."""

from __future__ import annotations

import datetime as dt
import time
from types import TracebackType
from typing import Self

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.registry import all_sagas
from sagas.engine import runner
from sagas.engine.leased_execution import LeasedExecution, LeaseLost, worker_name
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK

A_YEAR = 366 * 86400.0


class FakeClock:
    """A context manager in which the sagas of this process do not wait: `execute` and `wait` turn the clock forward.

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
        """The time that it shows, aware, in UTC."""
        return CLOCK.by_host()

    def advance(self, seconds: float = 0.0, **more: float) -> None:
        """Turn it forward; takes seconds and the arguments of timedelta: advance(hours=25)."""
        CLOCK.ahead += dt.timedelta(seconds=seconds, **more).total_seconds()


def drain(clock: FakeClock | None = None) -> int:
    """Run all due executions in this process, as workers would; with a clock, also those that wait.

    Returns the number of claims. It also works inside a test's transaction.
    """
    claims = 0
    while True:
        sent = time.monotonic()
        claimed = storage.claim_due(1, list(all_sagas()), worker=worker_name(), lease=get_settings().LEASE)
        if claimed:
            _advance(claimed[0], sent)
            claims += 1
        elif clock is None or not _turn_to_next(clock):
            return claims


def _advance(execution: SagaExecution, sent: float) -> None:
    saga = all_sagas()[execution.saga_name]
    try:
        runner.run(LeasedExecution(execution, saga, sent=sent, moment=execution.claimed_at))
    except LeaseLost:
        return  # another worker goes on with it


def _turn_to_next(clock: FakeClock) -> bool:
    """Turn the clock to the time at which the next execution is due; return False when none waits."""
    left = storage.due_in(A_YEAR, list(all_sagas()))
    if left < A_YEAR:
        clock.advance(left + 0.001)
    return left < A_YEAR
