"""What one act on many executions would do: counted, and the money summed up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sagas.definition.states import Direction, SagaState
from sagas.models import SagaExecution
from sagas.presentation.templates import amount
from sagas.storage import database

from .base import Operation, Situation
from .bulk_load import look_at
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
        situations = look_at(executions, chunk)
        for situation in situations:
            _take_in(preview, situation)
        if missing := set(chunk) - {situation.execution.pk for situation in situations}:
            preview.unreadable += executions.filter(pk__in=missing).order_by("pk").values_list("pk", "saga_id")
    return preview


def _take_in(preview: BulkPreview, situation: Situation) -> None:
    execution = situation.execution
    if sentence := GUARDS[preview.operation](situation):
        preview.refused[sentence].append((execution.pk, execution.saga_id))
        return
    preview.rows.append((execution.pk, execution.version))
    for step, direction in _calls(preview.operation, situation):
        preview.calls[step, direction] += 1
        if direction is not Direction.VERIFY:
            _take_in_money(preview, situation, step, direction)


def _take_in_money(preview: BulkPreview, situation: Situation, name: str, direction: Direction) -> None:
    step = situation.saga.step(name) if situation.saga else None
    if step is None or step.money is None:
        return
    if not preview.personal and situation.saga and step.money in situation.saga.personal:
        preview.unknown_amounts += 1
        return
    execution = situation.execution
    # A run from the start begins with the input, whatever the one before has made of it.
    anew = preview.operation is Operation.RETRY and situation.state is SagaState.FAILED
    try:
        moved, currency = amount(step.money, (execution.input,) if anew else (execution.context, execution.input))
        preview.money[direction, currency] += moved
    except (LookupError, ValueError, ArithmeticError):
        preview.unknown_amounts += 1


def _calls(operation: Operation, situation: Situation) -> list[tuple[str, Direction]]:
    """The calls of the act's preview, and those that may follow them."""
    _, calls = PREVIEWS[operation](situation)
    follows = what_follows(operation, calls, situation.saga, situation.history)
    return [(call.step, call.direction) for call in (*calls, *follows.surely, *follows.possible)]
