"""Hold executions that no worker can run, until an operator releases them."""

from __future__ import annotations

import logging
from typing import Any

from sagas.definition.exceptions import UnreadableRow
from sagas.engine.logs import log
from sagas.models import SagaEvent, SagaExecution
from sagas.models.clock import CLOCK
from sagas.storage import database

# The columns that `hold` needs. None of them is JSON, because a JSON column may be the unreadable one.
NEEDED = ("saga_id", "saga_name", "run", "version", "leased", "lost")


def hold(execution: SagaExecution, reason: str, *, leased: bool = False) -> None:
    """Hold the execution, unless its row has changed since it was read.

    Pass `leased=True` if an attempt may have been running when the worker crashed. The first claim after the release
    then recovers that attempt.
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
    """Return a queryset of the execution's row. It is empty if the row has changed since it was read."""
    rows = SagaExecution.objects.using(database.alias())
    return rows.filter(pk=execution.pk, version=execution.version, leased=execution.leased)


def hold_unreadable(execution: SagaExecution, error: UnreadableRow) -> None:
    """Hold a claimed execution that has an unreadable column."""
    hold(execution, f"{error} Repair it in the database, then release.", leased=execution.lost)


def readable_of(worker: str) -> list[SagaExecution]:
    """Return the executions that the worker has claimed, and hold those that cannot be read. Read them one by one."""
    found = []
    for execution in SagaExecution.objects.using(database.alias()).leased_rows().filter(worker=worker).only(*NEEDED):
        rows: Any = SagaExecution.objects.using(database.alias()).filter(pk=execution.pk)
        try:
            found.append(rows.annotate(claimed_at=CLOCK.now()).get())
        except UnreadableRow as error:
            hold_unreadable(execution, error)
    return found
