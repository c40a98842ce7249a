"""Write an operation in one commit: the execution's row, the event, and the step run if there is one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db.models import Q

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.states import TERMINAL, UNFINISHED, SagaState
from sagas.engine.on_change import call_on_change
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.models.clock import CLOCK
from sagas.presentation.execution_view import ExecutionView
from sagas.storage import database

from .operation import Command, Operation

# The event also stores the new values of these columns, because a replay of the history needs them.
REPLAYED = ("run", "plan", "failed_step", "held")


class Stale(Exception):
    """The row changed between the read and the write."""


def update(
    view: ExecutionView,
    command: Command,
    columns: Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    run: StepRun | None = None,
) -> SagaExecution:
    """Write the columns to a row without an owner, with the event and the step run. Raise Stale if it has changed."""
    execution, old = view.execution, view.state
    # A held row may still be leased. Its owner has crashed, so the row counts as unowned.
    unowned = SagaExecution.objects.using(database.alias()).filter(Q(leased=False) | ~Q(held=""))
    with database.one_commit():
        unchanged: Any = unowned.filter(pk=execution.pk, version=execution.version)
        if not unchanged.update(version=execution.version + 1, **columns):
            raise Stale
        execution.refresh_from_db(using=database.alias())
        if run:
            run.save(using=database.alias(), force_insert=True)
        written = columns.get("context", {}) | columns.get("input", {})
        storage.save_references(execution, {key: written[key] for key in view.references if key in written})
        if columns.get("due_at") is not None:
            storage.wake_workers()
        replayed = {name: columns[name] for name in REPLAYED if name in columns}
        _record(execution, command, {"from": old, "to": execution.state, **replayed, **(data or {})})
        entered_or_left_end = old is not execution.state and {old, execution.state} & TERMINAL
        if view.saga and view.saga.on_change and entered_or_left_end:
            call_on_change(view.saga, execution, old)
    return execution


def request(view: ExecutionView, command: Command, unless: Q) -> SagaExecution:
    """Set the pending request of a leased row. The row's owner obeys it at the next checkpoint.

    Keep the version, so that the owner keeps its lease. Raise Stale if the row does not match `unless`.
    """
    execution, operation = view.execution, command.operation
    rows = SagaExecution.objects.using(database.alias()).filter(unless, pk=execution.pk, leased=True)
    if command.version is not None:
        rows = rows.filter(version=execution.version)
    if operation is Operation.CANCEL:
        rows = rows.filter(state=SagaState.IN_PROGRESS, pivot_reached=False)
    else:
        rows = rows.filter(state__in=UNFINISHED)
    with database.one_commit():
        if not rows.update(pending_request=operation.value):
            raise Stale
        execution.refresh_from_db(using=database.alias())
        _record(execution, command, {"requested": True})
    return execution


def due_now(execution: SagaExecution) -> dict[str, Any]:
    """Return the columns that make the execution due now, with the rank of its priority."""
    ageing = dt.timedelta(seconds=get_settings().AGEING * execution.priority)
    return {"due_at": CLOCK.now(), "rank_at": CLOCK.now() - ageing}


def resumed(execution: SagaExecution) -> dict[str, Any]:
    """Return the columns of an execution that continues now."""
    cleared = {"held": "", "needs_attention": False, "finished_at": None, "recoveries": 0, "pending_request": None}
    return cleared | due_now(execution)


def ended() -> dict[str, Any]:
    """Return the columns of an execution that an operation ended. It needs no attention, because the operator knows."""
    cleared = {"held": "", "needs_attention": False, "pending_request": None}
    return cleared | {"due_at": None, "rank_at": None, "finished_at": CLOCK.now()}


def _record(execution: SagaExecution, command: Command, data: Mapping[str, Any]) -> None:
    SagaEvent.objects.using(database.alias()).create(
        execution=execution,
        kind=SagaEvent.Kind(command.operation.value),
        actor=command.actor.user,
        actor_name=command.actor.display_name,
        source=command.actor.source,
        reason=command.reason,
        version=execution.version,
        run=execution.run,
        data=dict(data),
    )
