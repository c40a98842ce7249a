"""How long an execution lay still after whoever held it was killed or paused.

The time runs from the signal to the end of the next attempt that is put down for the execution, or to the event that
tells of its lost worker, whichever came first: the moment at which somebody else has it for certain. It holds the rest
of the lease, the claim, and no part of a step, for the attempt that was lost is put down at once.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from sagas.engine.leased_execution import HOST
from sagas.models import SagaEvent, SagaExecution, StepRun

from .database import insist


@dataclass(frozen=True)
class Loss:
    """An execution at the version at which its owner was stopped."""

    execution: int
    version: int
    owner: str
    at: dt.datetime


def held_by(pid: int, at: dt.datetime) -> list[Loss]:
    """The executions that the process has in hand; it got a signal at that time, and can write no more."""
    held = SagaExecution.objects.filter(leased=True, worker__startswith=f"{HOST}:{pid}:")
    rows = insist(lambda: list(held.values_list("pk", "version", "worker")))
    return [Loss(*row, at) for row in rows]


def recovery_times(losses: list[Loss]) -> list[float]:
    """Seconds for each loss, in order; one that its owner ended after all, once it was let go, is none."""
    return sorted(seconds for loss in losses for seconds in _recovery_time(loss))


def percentile(times: list[float], part: float) -> float:
    """The least time within which this part of them was over, 0.0 when there are none."""
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
