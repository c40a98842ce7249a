"""The time from the kill or pause of a worker until another worker has recovered its executions.

The time ends when the execution's next attempt or the event of its lost lease is recorded, whichever is earlier. It is
the rest of the lease plus the time to claim. It contains no step, because the lost attempt is recorded at once.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from sagas.engine.leased_execution import HOST
from sagas.models import SagaEvent, SagaExecution, StepRun

from .database import retry


@dataclass(frozen=True)
class Loss:
    """An execution and its version at the time when its worker was killed or paused."""

    execution: int
    version: int
    owner: str
    at: dt.datetime


def held_by(pid: int, at: dt.datetime) -> list[Loss]:
    """Return the executions that the process had leased at this time, when it got a signal."""
    held = SagaExecution.objects.filter(leased=True, worker__startswith=f"{HOST}:{pid}:")
    rows = retry(lambda: list(held.values_list("pk", "version", "worker")))
    return [Loss(*row, at) for row in rows]


def recovery_times(losses: list[Loss]) -> list[float]:
    """Return the sorted recovery times in seconds; omit executions that a resumed worker finished itself."""
    return sorted(seconds for loss in losses for seconds in _recovery_time(loss))


def percentile(times: list[float], part: float) -> float:
    """Return the percentile of the times, or 0.0 if there are none."""
    if len(times) < 2:
        return sum(times)
    return statistics.quantiles(times, n=100, method="inclusive")[round(part * 100) - 1]


def _recovery_time(loss: Loss) -> Iterator[float]:
    runs = StepRun.objects.filter(execution=loss.execution, sequence__gt=loss.version).order_by("sequence")
    events = SagaEvent.objects.filter(execution=loss.execution, at__gt=loss.at, kind=SagaEvent.Kind.LOST_LEASE)
    run = runs.first()
    if run is not None and run.worker == loss.owner:
        return
    moments = [run.finished_at] if run else []
    moments += events.order_by("id").values_list("at", flat=True)[:1]
    if moments:
        yield (min(moments) - loss.at).total_seconds()
