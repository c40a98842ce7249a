"""Numbers over all executions."""

from __future__ import annotations

from typing import Any

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F

from .models import SagaExecution
from .querysets import ExecutionQuerySet
from .states import TERMINAL, SagaState


def collect() -> dict[str, Any]:
    """Totals, success rate and durations of all executions, and the same for each saga under `sagas`.

    `success_rate` (0.0 to 1.0) and the durations (seconds of the last run) are over the finished ones; 0.0 while
    there are none. Percentiles are nearest-rank.
    """
    by_saga: dict[str, dict[SagaState, int]] = {}
    for name, state, count in _counts():
        by_saga.setdefault(name, dict.fromkeys(SagaState, 0))[state] = count
    total = {state: sum(states[state] for states in by_saga.values()) for state in SagaState}
    everything = _numbers(total, SagaExecution.objects.all())
    sagas = {
        name: _numbers(states, SagaExecution.objects.filter(saga_name=name)) for name, states in sorted(by_saga.items())
    }
    return {**everything, "sagas": sagas}


def as_text(numbers: dict[str, Any]) -> str:
    """The numbers as lines for a terminal."""
    lines = [_line("all", numbers), *(_line(name, part) for name, part in numbers["sagas"].items())]
    states = "  ".join(f"{state.replace('_', ' ')} {count}" for state, count in numbers["by_state"].items())
    return "\n".join([*lines, states])


def _counts() -> list[tuple[str, SagaState, int]]:
    rows = SagaExecution.objects.order_by().values_list("saga_name", "state").annotate(count=Count("id"))
    return list(rows)


def _numbers(states: dict[SagaState, int], executions: ExecutionQuerySet) -> dict[str, Any]:
    finished = sum(states[state] for state in TERMINAL)
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    timed = executions.finished().filter(started_at__isnull=False).annotate(took=took).order_by("took")
    return {
        "total": sum(states.values()),
        "by_state": {state.value: states[state] for state in SagaState},
        "success_rate": states[SagaState.SUCCEEDED] / finished if finished else 0.0,
        "avg_duration_seconds": _seconds(timed.aggregate(mean=Avg("took"))["mean"]),
        "p50_duration_seconds": _percentile(timed, 0.50),
        "p95_duration_seconds": _percentile(timed, 0.95),
    }


def _percentile(timed: Any, part: float) -> float:
    count = timed.count()
    rank = max(0, -int(-count * part // 1) - 1)
    return _seconds(next(iter(timed.values_list("took", flat=True)[rank : rank + 1]), None))


def _seconds(duration: Any) -> float:
    return max(0.0, duration.total_seconds()) if duration is not None else 0.0


def _line(name: str, numbers: dict[str, Any]) -> str:
    return (
        f"{name:<20} {numbers['total']:>7} started  {numbers['success_rate']:>6.1%} of the finished succeeded  "
        f"avg {numbers['avg_duration_seconds']:.2f} s  p50 {numbers['p50_duration_seconds']:.2f} s  "
        f"p95 {numbers['p95_duration_seconds']:.2f} s"
    )
