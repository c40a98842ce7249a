"""Preview a bulk operation: count the calls that it would make, and sum up the money that it would move."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sagas.definition.states import Direction
from sagas.models import SagaExecution
from sagas.presentation.execution_view import ExecutionView, load_views
from sagas.presentation.redactor import redactor_for
from sagas.storage import database

from .guards import why_not
from .money import total_of
from .operation import Call, Operation
from .preview import consequences, preview_of, starts_over

CHUNK = 100


@dataclass
class BulkPreview:
    """A preview of a bulk operation.

    `rows` are the executions that allow the operation, each as primary key and version. `refused` maps each reason to
    the executions that do not allow it, each as primary key and id. `calls` and `money` are upper limits, because the
    steps after a failed step are not called. `unreadable` executions are not in the other counts.
    """

    operation: Operation
    personal: bool = False
    rows: list[tuple[int, int]] = field(default_factory=list)
    refused: defaultdict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    calls: Counter[tuple[str, Direction]] = field(default_factory=Counter)
    money: defaultdict[tuple[Direction, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unknown_amounts: int = 0

    @property
    def moves_money(self) -> bool:
        """Whether the operation may charge or refund a customer."""
        return bool(self.money) or self.unknown_amounts > 0

    def add(self, view: ExecutionView) -> None:
        """Add one execution to the preview."""
        execution = view.execution
        if reason := why_not(self.operation, view):
            self.refused[reason].append((execution.pk, execution.saga_id))
            return
        self.rows.append((execution.pk, execution.version))
        calls = preview_of(self.operation, view).calls
        follow = consequences(self.operation, calls, view)
        for call in (*calls, *follow.certain, *follow.possible):
            self.calls[call.step, call.direction] += 1
            self._add_money(view, call)

    def _add_money(self, view: ExecutionView, call: Call) -> None:
        step = view.step(call.step)
        if step is None or step.money is None or call.direction is Direction.VERIFY:
            return
        execution = view.execution
        hidden = redactor_for(execution, view.saga, personal=self.personal).hidden_keys
        contexts = (execution.input,) if starts_over(self.operation, view) else (execution.context, execution.input)
        total = total_of([step], contexts, hidden)
        if total:
            self.money[call.direction, total.currency] += total.amount
        else:
            self.unknown_amounts += 1


def plan(operation: Operation, pks: Sequence[int], *, personal: bool = False) -> BulkPreview:
    """Preview the operation on these executions, without writing. Each CHUNK of executions costs three queries.

    Without `personal`, amounts under personal keys count as unknown.
    """
    preview, executions = BulkPreview(operation, personal), SagaExecution.objects.using(database.alias())
    for start in range(0, len(pks), CHUNK):
        chunk = pks[start : start + CHUNK]
        views = load_views(executions, chunk)
        for view in views:
            preview.add(view)
        if missing := set(chunk) - {view.execution.pk for view in views}:
            preview.unreadable += executions.filter(pk__in=missing).order_by("pk").values_list("pk", "saga_id")
    return preview
