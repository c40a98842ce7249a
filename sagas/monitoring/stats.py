"""Statistics of all executions, and of those that ended in the last 24 hours."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import TruncHour

from sagas.definition.states import TERMINAL, SagaState
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.querysets import ExecutionQuerySet

DAY = dt.timedelta(hours=24)
FAILED = (SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED)
# Upper bounds of the histogram of durations, in seconds.
BOUNDS = (0.1, 0.5, 1.0, 5.0, 30.0, 300.0)
MOST_FAILURES = 20


@dataclass(frozen=True)
class Day:
    """Statistics of the executions that ended in the 24 hours after `since`.

    `hours` counts them by hour and state. `took` is a histogram of durations: one count for each of BOUNDS, and one for
    longer runs. Percentiles are nearest-rank, in seconds, or 0.0 without runs. `failures` has saga, step and count, the
    most frequent first.
    """

    since: dt.datetime
    hours: dict[dt.datetime, dict[SagaState, int]]
    took: tuple[int, ...]
    p50: float
    p95: float
    failures: tuple[tuple[str, str, int], ...]

    def count(self, *states: SagaState) -> int:
        """Return the number of executions that ended in these states."""
        return sum(counts.get(state, 0) for counts in self.hours.values() for state in states)

    @property
    def success_rate(self) -> float | None:
        """The share of ended executions that succeeded, 0.0 to 1.0, or None if no execution ended."""
        ended = self.count(*TERMINAL)
        return self.count(SagaState.SUCCEEDED) / ended if ended else None


def a_day_ago() -> dt.datetime:
    """Return the start of the last 24 hours."""
    return CLOCK.by_host() - DAY


def ended_since(executions: ExecutionQuerySet, moment: dt.datetime) -> ExecutionQuerySet:
    """Return the executions that ended at or after `moment`."""
    return executions.filter(finished_at__gte=moment)


def of_last_day() -> Day:
    """Return the statistics of the last 24 hours. Read only the executions that ended in this time."""
    since = a_day_ago()
    ended = ended_since(SagaExecution.objects.order_by(), since)
    hours: dict[dt.datetime, dict[SagaState, int]] = {}
    by_hour = ended.annotate(hour=TruncHour("finished_at")).values_list("hour", "state")
    for hour, state, count in by_hour.annotate(count=Count("id")):
        hours.setdefault(hour, {})[state] = count
    timed = _timed(ended)
    failures = ended.in_state(*FAILED).exclude(failed_step="")
    frequent = failures.values_list("saga_name", "failed_step").annotate(count=Count("id")).order_by("-count")
    return Day(
        since,
        hours,
        _histogram(timed),
        _percentile(timed, 0.50),
        _percentile(timed, 0.95),
        tuple(frequent[:MOST_FAILURES]),
    )


def _histogram(timed: Any) -> tuple[int, ...]:
    bounds = [dt.timedelta(seconds=bound) for bound in BOUNDS]
    edges = zip([None, *bounds], [*bounds, None], strict=True)
    counts = {
        f"from_{place}": Count(
            "id", filter=Q(**({"took__gte": low} if low else {}), **({"took__lt": high} if high else {}))
        )
        for place, (low, high) in enumerate(edges)
    }
    return tuple(timed.order_by().aggregate(**counts).values())


def collect() -> dict[str, Any]:
    """Return totals, success rate and durations of all executions. The key `sagas` has the same for each saga.

    `success_rate` (0.0 to 1.0) and the durations (of the last run, in seconds) include finished executions only. They
    are 0.0 if there are none. Percentiles are nearest-rank.
    """
    by_saga: dict[str, dict[SagaState, int]] = {}
    rows: Any = SagaExecution.objects.order_by().values_list("saga_name", "state").annotate(count=Count("id"))
    for name, state, count in rows:
        by_saga.setdefault(name, dict.fromkeys(SagaState, 0))[state] = count
    total = {state: sum(states[state] for states in by_saga.values()) for state in SagaState}
    everything = _numbers(total, SagaExecution.objects.all())
    sagas = {
        name: _numbers(states, SagaExecution.objects.filter(saga_name=name)) for name, states in sorted(by_saga.items())
    }
    return {**everything, "sagas": sagas}


def as_text(numbers: dict[str, Any]) -> str:
    """Return the statistics as lines for a terminal."""
    lines = [
        f"{name:<20} {part['total']:>7} started  {part['success_rate']:>6.1%} of the finished succeeded  "
        f"avg {part['avg_duration_seconds']:.2f} s  p50 {part['p50_duration_seconds']:.2f} s  "
        f"p95 {part['p95_duration_seconds']:.2f} s"
        for name, part in [("all", numbers), *numbers["sagas"].items()]
    ]
    states = "  ".join(f"{state.replace('_', ' ')} {count}" for state, count in numbers["by_state"].items())
    return "\n".join([*lines, states])


def _numbers(states: dict[SagaState, int], executions: ExecutionQuerySet) -> dict[str, Any]:
    finished = sum(states[state] for state in TERMINAL)
    timed = _timed(executions.finished())
    return {
        "total": sum(states.values()),
        "by_state": {state.value: states[state] for state in SagaState},
        "success_rate": states[SagaState.SUCCEEDED] / finished if finished else 0.0,
        "avg_duration_seconds": _seconds(timed.aggregate(mean=Avg("took"))["mean"]),
        "p50_duration_seconds": _percentile(timed, 0.50),
        "p95_duration_seconds": _percentile(timed, 0.95),
    }


def _timed(executions: ExecutionQuerySet) -> Any:
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    return executions.filter(started_at__isnull=False).annotate(took=took).order_by("took")


def _percentile(timed: Any, part: float) -> float:
    count = timed.count()
    rank = max(0, -int(-count * part // 1) - 1)
    return _seconds(next(iter(timed.values_list("took", flat=True)[rank : rank + 1]), None))


def _seconds(duration: Any) -> float:
    return max(0.0, duration.total_seconds()) if duration is not None else 0.0
