"""Executions with their histories: in a constant number of queries, however many of them a page shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db.models import F, QuerySet

from sagas import database
from sagas.definition import Saga
from sagas.exceptions import UnreadableRow
from sagas.histories import History
from sagas.models import SagaExecution, StepRun
from sagas.registry import all_sagas
from sagas.tenure import history_of, record_of


@dataclass(frozen=True)
class Looked:
    """An execution, its definition, if it is registered here, and the step runs of its current run, in order."""

    execution: SagaExecution
    saga: Saga | None
    runs: tuple[StepRun, ...]

    @cached_property
    def history(self) -> History:
        """What has happened in the current run."""
        return history_of(self.execution, tuple(record_of(run) for run in self.runs))


def look_at(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[Looked]:
    """Those of the executions with these primary keys, in this order; one that cannot be read is left out."""
    try:
        return _looked(executions, keys)
    except UnreadableRow:
        return [looked for key in keys for looked in _alone(executions, key)]


def _looked(executions: QuerySet[SagaExecution], keys: Sequence[int]) -> list[Looked]:
    rows = executions.in_bulk(list(keys))
    runs: dict[int, list[StepRun]] = defaultdict(list)
    current = StepRun.objects.using(database.alias()).filter(execution_id__in=rows, run=F("execution__run"))
    for run in current.defer("changes").order_by("sequence"):
        runs[run.execution_id].append(run)
    found = [rows[key] for key in keys if key in rows]
    return [Looked(row, all_sagas().get(row.saga_name), tuple(runs[row.pk])) for row in found]


def _alone(executions: QuerySet[SagaExecution], key: int) -> list[Looked]:
    try:
        return _looked(executions, [key])
    except UnreadableRow:
        return []
