"""Time that passes when it is told to, and workers that work when they are told to."""

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
    """While it is in use, sagas of this process wait for nothing: `execute` and `wait` turn it forward instead.

    Use it in a `with` statement, in a process without workers. What an attempt may take stays real time, and so does
    the time at which Django's own clock creates rows.
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
        """The time it shows, aware, UTC."""
        return CLOCK.by_host()

    def advance(self, seconds: float = 0.0, **more: float) -> None:
        """Turn it forward by so many seconds and whatever else timedelta takes: advance(hours=25)."""
        CLOCK.ahead += dt.timedelta(seconds=seconds, **more).total_seconds()


def drain(clock: FakeClock | None = None) -> int:
    """Run all that is due, in this process, as workers would; with a clock, what waits too, one moment after another.

    Returns how many times an execution was taken up. It works in a test's transaction, too.
    """
    taken = 0
    while True:
        sent = time.monotonic()
        claimed = storage.claim_due(1, list(all_sagas()), worker=worker_name(), lease=get_settings().LEASE)
        if claimed:
            _advance(claimed[0], sent)
            taken += 1
        elif clock is None or not _turn_to_next(clock):
            return taken


def _advance(execution: SagaExecution, sent: float) -> None:
    saga = all_sagas()[execution.saga_name]
    try:
        runner.run(LeasedExecution(execution, saga, sent=sent, moment=execution.claimed_at))
    except LeaseLost:
        return  # somebody else goes on with it


def _turn_to_next(clock: FakeClock) -> bool:
    """Turn the clock to when the next execution is due; False when none waits."""
    left = storage.due_in(A_YEAR, list(all_sagas()))
    if left < A_YEAR:
        clock.advance(left + 0.001)
    return left < A_YEAR
