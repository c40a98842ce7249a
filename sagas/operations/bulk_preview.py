"""What one act on many executions would do: counted, and the money summed up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sagas.definition.states import Direction, SagaState
from sagas.models import SagaExecution
from sagas.presentation.execution_view import ExecutionView, load_views
from sagas.presentation.templates import amount
from sagas.storage import database

from .base import Operation
from .guards import GUARDS
from .preview import PREVIEWS
from .resolution_effects import what_follows

AT_A_TIME = 100


@dataclass
class BulkPreview:
    """What the act would do: `rows` are those that it is possible for, each with its version.

    `refused` maps each reason to the executions that it keeps the act from, by primary key and id. `calls` and `money`
    are upper limits: of what follows a step that fails, less is called. `unreadable` are no part of anything else.
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
        """Whether somebody may be charged, or given money back."""
        return bool(self.money) or self.unknown_amounts > 0


def plan(operation: Operation, pks: Sequence[int], *, personal: bool = False) -> BulkPreview:
    """What the act would do to these executions now, from three queries for each AT_A_TIME of them. Writes nothing.

    An amount under a personal key is not known to who may not see `personal` values.
    """
    preview, executions = BulkPreview(operation, personal), SagaExecution.objects.using(database.alias())
    for start in range(0, len(pks), AT_A_TIME):
        chunk = pks[start : start + AT_A_TIME]
        views = load_views(executions, chunk)
        for view in views:
            _take_in(preview, view)
        if missing := set(chunk) - {view.execution.pk for view in views}:
            preview.unreadable += executions.filter(pk__in=missing).order_by("pk").values_list("pk", "saga_id")
    return preview


def _take_in(preview: BulkPreview, view: ExecutionView) -> None:
    execution = view.execution
    if sentence := GUARDS[preview.operation](view):
        preview.refused[sentence].append((execution.pk, execution.saga_id))
        return
    preview.rows.append((execution.pk, execution.version))
    for step, direction in _calls(preview.operation, view):
        preview.calls[step, direction] += 1
        if direction is not Direction.VERIFY:
            _take_in_money(preview, view, step, direction)


def _take_in_money(preview: BulkPreview, view: ExecutionView, name: str, direction: Direction) -> None:
    step = view.saga.step(name) if view.saga else None
    if step is None or step.money is None:
        return
    if not preview.personal and view.saga and step.money in view.saga.personal:
        preview.unknown_amounts += 1
        return
    execution = view.execution
    # A run from the start begins with the input, whatever the one before has made of it.
    anew = preview.operation is Operation.RETRY and view.state is SagaState.FAILED
    try:
        moved, currency = amount(step.money, (execution.input,) if anew else (execution.context, execution.input))
        preview.money[direction, currency] += moved
    except (LookupError, ValueError, ArithmeticError):
        preview.unknown_amounts += 1


def _calls(operation: Operation, view: ExecutionView) -> list[tuple[str, Direction]]:
    """The calls of the act's preview, and those that may follow them."""
    _, calls = PREVIEWS[operation](view)
    follows = what_follows(operation, calls, view.saga, view.history)
    return [(call.step, call.direction) for call in (*calls, *follows.surely, *follows.possible)]
