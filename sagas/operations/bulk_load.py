"""Many executions at once, each as an operator's act finds it, by a few queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from django.db.models import F, Q, QuerySet

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.registry import all_sagas
from sagas.engine.history import past_attempt
from sagas.engine.leased_execution import load_history
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.presentation.superseded_values import take_former_inputs
from sagas.storage import database

from .base import HOLDS, Situation

T = TypeVar("T", StepRun, SagaEvent)

TELLING = Q(kind=SagaEvent.Kind.CORRECT) | (Q(kind__in=HOLDS) & ~Q(execution__held=""))


def look_at(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[Situation]:
    """Those of the executions with these primary keys, in this order; one that cannot be read is left out, and costs
    the others nothing."""
    try:
        return _situations(executions, keys)
    except UnreadableRow:
        half = len(keys) // 2
        return [*look_at(executions, keys[:half]), *look_at(executions, keys[half:])] if half else []


def _situations(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[Situation]:
    rows = executions.in_bulk(list(keys))
    current = StepRun.objects.using(database.alias()).filter(execution__in=rows, run=F("execution__run"))
    runs = _by_execution(current.defer("changes").order_by("sequence"))
    telling = SagaEvent.objects.using(database.alias()).filter(TELLING, execution__in=rows)
    events = _by_execution(telling.order_by("-id"))
    return [_situation(rows[key], runs[key], events[key]) for key in keys if key in rows]


def _by_execution(rows: Iterable[T]) -> defaultdict[int, list[T]]:
    found: defaultdict[int, list[T]] = defaultdict(list)
    for row in rows:
        found[row.execution_id].append(row)
    return found


def _situation(execution: SagaExecution, runs: Sequence[StepRun], events: Sequence[SagaEvent]) -> Situation:
    take_former_inputs(execution, events)
    history = load_history(execution, tuple(past_attempt(run) for run in runs))
    return Situation(execution, history, all_sagas().get(execution.saga_name), runs=runs, events=events)
