"""What workers put aside of themselves: what nobody here can go on with waits for a person."""

from __future__ import annotations

import logging
from typing import Any

from sagas.definition.exceptions import UnreadableRow
from sagas.engine.logs import log
from sagas.models import SagaEvent, SagaExecution
from sagas.models.clock import CLOCK
from sagas.storage import database

# All that is read of what is put aside; none of it is JSON, which may be what is damaged.
NEEDED = ("saga_id", "saga_name", "run", "version", "leased", "lost")


def hold(execution: SagaExecution, reason: str, *, leased: bool = False) -> None:
    """Park it until it is released, unless it has moved; `leased` when an attempt may have died with its worker.

    Whoever goes on after the release then finds a lost lease, and puts that attempt down.
    """
    held = {"held": reason, "needs_attention": True, "leased": leased, "due_at": None, "rank_at": None}
    with database.one_commit():
        if not as_read(execution).update(version=execution.version + 1, **held):
            return
        SagaEvent.objects.using(database.alias()).create(
            execution=execution,
            kind=SagaEvent.Kind.HELD,
            version=execution.version + 1,
            run=execution.run,
            data={"held": reason, "cause": "engine"},
        )
    log(logging.ERROR, "saga.held", saga_id=execution.saga_id, saga=execution.saga_name, cause="engine")


def as_read(execution: SagaExecution) -> Any:
    """The row, if nobody has moved it since."""
    rows = SagaExecution.objects.using(database.alias())
    return rows.filter(pk=execution.pk, version=execution.version, leased=execution.leased)


def hold_unreadable(execution: SagaExecution, error: UnreadableRow) -> None:
    """Park what we have claimed and cannot read."""
    hold(execution, f"{error} Mend it in the database, then release.", leased=execution.lost)


def readable_of(worker: str) -> list[SagaExecution]:
    """What was claimed under this name, read one by one; what cannot be read is held, and costs the others nothing."""
    found = []
    for execution in SagaExecution.objects.using(database.alias()).leased_rows().filter(worker=worker).only(*NEEDED):
        rows: Any = SagaExecution.objects.using(database.alias()).filter(pk=execution.pk)
        try:
            found.append(rows.annotate(claimed_at=CLOCK.now()).get())
        except UnreadableRow as error:
            hold_unreadable(execution, error)
    return found
