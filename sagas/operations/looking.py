"""Many executions at once, each as an operator's act finds it, by a few queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from django.db.models import F

from sagas import database
from sagas.exceptions import UnreadableRow
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.registry import all_sagas
from sagas.tenure import history_of, record_of

from .situation import HOLDS, Situation

T = TypeVar("T", StepRun, SagaEvent)


def look_at(pks: Sequence[int]) -> list[Situation]:
    """These executions as they are now; one that cannot be read is left out, and costs the others nothing."""
    try:
        return _situations(pks)
    except UnreadableRow:
        half = len(pks) // 2
        return [*look_at(pks[:half]), *look_at(pks[half:])] if half else []


def _situations(pks: Sequence[int]) -> list[Situation]:
    executions = SagaExecution.objects.using(database.alias()).filter(pk__in=pks).order_by("pk")
    mine = StepRun.objects.using(database.alias()).filter(execution__in=pks, run=F("execution__run"))
    runs = _by_execution(mine.defer("changes").order_by("sequence"))
    told = (
        SagaEvent.objects.using(database.alias()).filter(execution__in=pks, kind__in=HOLDS).exclude(execution__held="")
    )
    holds = _by_execution(told.order_by("-id"))
    return [
        Situation(
            execution,
            history_of(execution, tuple(record_of(run) for run in runs[execution.pk])),
            all_sagas().get(execution.saga_name),
            holds=holds[execution.pk],
        )
        for execution in executions
    ]


def _by_execution(rows: Iterable[T]) -> defaultdict[int, list[T]]:
    found: defaultdict[int, list[T]] = defaultdict(list)
    for row in rows:
        found[row.execution_id].append(row)
    return found
