"""Holding executions that no worker can run, until an operator releases them."""

from __future__ import annotations

import logging
from typing import Any

from sagas.definition.exceptions import UnreadableRow
from sagas.engine.logs import log
from sagas.models import SagaEvent, SagaExecution
from sagas.models.clock import CLOCK
from sagas.storage import database

# The columns that holding needs. None of them is JSON, which may be what cannot be read.
NEEDED = ("saga_id", "saga_name", "run", "version", "leased", "lost")


def hold(execution: SagaExecution, reason: str, *, leased: bool = False) -> None:
    """Hold the execution, unless it has changed since it was read.

    `leased` marks an attempt that may have crashed with its worker: the next claim after the release then recovers it.
    """
    held = {"held": reason, "needs_attention": True, "leased": leased, "due_at": None, "rank_at": None}
    with database.one_commit():
        if not unchanged(execution).update(version=execution.version + 1, **held):
            return
        SagaEvent.objects.using(database.alias()).create(
            execution=execution,
            kind=SagaEvent.Kind.HELD,
            version=execution.version + 1,
            run=execution.run,
            data={"held": reason, "cause": "engine"},
        )
    log(logging.ERROR, "saga.held", saga_id=execution.saga_id, saga=execution.saga_name, cause="engine")


def unchanged(execution: SagaExecution) -> Any:
    """Return a queryset with the execution's row, empty if it has changed since it was read."""
    rows = SagaExecution.objects.using(database.alias())
    return rows.filter(pk=execution.pk, version=execution.version, leased=execution.leased)


def hold_unreadable(execution: SagaExecution, error: UnreadableRow) -> None:
    """Hold a claimed execution that cannot be read."""
    hold(execution, f"{error} Repair it in the database, then release.", leased=execution.lost)


def readable_of(worker: str) -> list[SagaExecution]:
    """Return the executions that were claimed under this name, read one by one; hold those that cannot be read."""
    found = []
    for execution in SagaExecution.objects.using(database.alias()).leased_rows().filter(worker=worker).only(*NEEDED):
        rows: Any = SagaExecution.objects.using(database.alias()).filter(pk=execution.pk)
        try:
            found.append(rows.annotate(claimed_at=CLOCK.now()).get())
        except UnreadableRow as error:
            hold_unreadable(execution, error)
    return found
