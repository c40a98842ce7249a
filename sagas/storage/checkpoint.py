"""Write the owner's progress: the mark that an action starts, and the checkpoint that ends the attempt.

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.models.fields import dumps

from .database import alias, connection, in_turn, persist
from .insert import save_references
from .sql import aware_time, column_parameters, due_parameters, execute, first_row, open_cursor, render

# Executed before the action of a step that is not idempotent (promise 2), and before the pivot (promise 9).
# `action_started` is FALSE until this mark is written, and NULL if the step gets no mark: only FALSE proves that
# nothing was called.
MARK_STARTED = """
UPDATE sagas_execution SET action_started = %(action_started)s, pivot_reached = %(pivot_reached)s
WHERE id = %(id)s AND version = %(version)s AND pending_request IS NULL
RETURNING id
"""

# Promise 1: the attempt and the position are one commit. Promise 8: the row must be at our version. Promise 9: if a
# request is pending, a checkpoint that gives the row back or comes before the pivot is not written. While the owner
# continues, due_at does not change, so PostgreSQL can update in place. A graceful shutdown decrements `recoveries` in
# advance: -1 becomes 0 here.
GO_ON = """
UPDATE sagas_execution SET
    version = version + 1, state = %(state)s, context = %(context)s, steps_completed = %(steps_completed)s,
    failed_step = %(failed_step)s, compensation_performed = %(compensation_performed)s,
    action_started = %(action_started)s, pivot_reached = %(pivot_reached)s,
    recoveries = CASE WHEN %(keep_recoveries)s AND recoveries > 0 THEN recoveries ELSE 0 END,
    pending_request = NULLIF(pending_request, %(obeyed)s)
WHERE id = %(execution_id)s AND version = %(version)s
    AND (NOT %(unless_requested)s OR COALESCE(pending_request, '') IN ('', %(obeyed)s))
RETURNING version, pending_request, recoveries
"""

# The same promises, for a checkpoint that gives the row back.
PARK = """
UPDATE sagas_execution SET
    version = version + 1, state = %(state)s, context = %(context)s, steps_completed = %(steps_completed)s,
    failed_step = %(failed_step)s, compensation_performed = %(compensation_performed)s,
    action_started = %(action_started)s, pivot_reached = %(pivot_reached)s,
    recoveries = CASE WHEN %(keep_recoveries)s AND recoveries > 0 THEN recoveries ELSE 0 END,
    pending_request = NULLIF(pending_request, %(obeyed)s),
    leased = FALSE, held = %(held)s, needs_attention = %(needs_attention)s,
    due_at = {due_at}, rank_at = {rank_at},
    finished_at = CASE WHEN %(finished)s THEN COALESCE(finished_at, {now}) END
WHERE id = %(execution_id)s AND version = %(version)s
    AND (NOT %(unless_requested)s OR COALESCE(pending_request, '') IN ('', %(obeyed)s))
RETURNING version, pending_request, recoveries, due_at, finished_at
"""

# Promise 1 on SQLite: insert the attempt in the transaction of GO_ON or PARK.
INSERT_STEP_RUN = """
INSERT INTO sagas_steprun (
    execution_id, sequence, id, step, direction, run, attempt, outcome, output, changes, error_type, error_message,
    idempotency_key, started_at, finished_at, worker, ending, retry_at, resolution
) VALUES (
    %(execution_id)s, %(version)s + 1, %(id)s, %(step)s, %(direction)s, %(run)s, %(attempt)s, %(outcome)s, %(output)s,
    %(changes)s, %(error_type)s, %(error_message)s,
    %(idempotency_key)s, %(started_at)s, %(finished_at)s, %(worker)s, %(ending)s, %(retry_at)s, %(resolution)s
)
"""

# Promise 1 on PostgreSQL: GO_ON and the insert of the attempt as one statement.
GO_ON_WITH_STEP_RUN = """
WITH written AS (
    UPDATE sagas_execution SET
        version = version + 1, state = %(state)s, context = %(context)s, steps_completed = %(steps_completed)s,
        failed_step = %(failed_step)s, compensation_performed = %(compensation_performed)s,
        action_started = %(action_started)s, pivot_reached = %(pivot_reached)s,
        recoveries = CASE WHEN %(keep_recoveries)s AND recoveries > 0 THEN recoveries ELSE 0 END,
        pending_request = NULLIF(pending_request, %(obeyed)s)
    WHERE id = %(execution_id)s AND version = %(version)s
        AND (NOT %(unless_requested)s OR COALESCE(pending_request, '') IN ('', %(obeyed)s))
    RETURNING id, version, pending_request, recoveries
), inserted AS (
    INSERT INTO sagas_steprun (
        execution_id, sequence, id, step, direction, run, attempt, outcome, output, changes, error_type,
        error_message, idempotency_key, started_at, finished_at, worker, ending, retry_at, resolution
    )
    SELECT
        written.id, written.version, %(id)s::uuid, %(step)s, %(direction)s, %(run)s::integer, %(attempt)s::integer,
        %(outcome)s, %(output)s, %(changes)s, %(error_type)s, %(error_message)s, %(idempotency_key)s,
        %(started_at)s::timestamptz, %(finished_at)s::timestamptz, %(worker)s, %(ending)s, %(retry_at)s::timestamptz,
        %(resolution)s
    FROM written
)
SELECT version, pending_request, recoveries FROM written
"""

# Promise 1 on PostgreSQL: PARK and the insert of the attempt as one statement.
PARK_WITH_STEP_RUN = """
WITH written AS (
    UPDATE sagas_execution SET
        version = version + 1, state = %(state)s, context = %(context)s, steps_completed = %(steps_completed)s,
        failed_step = %(failed_step)s, compensation_performed = %(compensation_performed)s,
        action_started = %(action_started)s, pivot_reached = %(pivot_reached)s,
        recoveries = CASE WHEN %(keep_recoveries)s AND recoveries > 0 THEN recoveries ELSE 0 END,
        pending_request = NULLIF(pending_request, %(obeyed)s),
        leased = FALSE, held = %(held)s, needs_attention = %(needs_attention)s,
        due_at = {due_at}, rank_at = {rank_at},
        finished_at = CASE WHEN %(finished)s THEN COALESCE(finished_at, {now}) END
    WHERE id = %(execution_id)s AND version = %(version)s
        AND (NOT %(unless_requested)s OR COALESCE(pending_request, '') IN ('', %(obeyed)s))
    RETURNING id, version, pending_request, recoveries, due_at, finished_at
), inserted AS (
    INSERT INTO sagas_steprun (
        execution_id, sequence, id, step, direction, run, attempt, outcome, output, changes, error_type,
        error_message, idempotency_key, started_at, finished_at, worker, ending, retry_at, resolution
    )
    SELECT
        written.id, written.version, %(id)s::uuid, %(step)s, %(direction)s, %(run)s::integer, %(attempt)s::integer,
        %(outcome)s, %(output)s, %(changes)s, %(error_type)s, %(error_message)s, %(idempotency_key)s,
        %(started_at)s::timestamptz, %(finished_at)s::timestamptz, %(worker)s, %(ending)s, %(retry_at)s::timestamptz,
        %(resolution)s
    FROM written
)
SELECT version, pending_request, recoveries, due_at, finished_at FROM written
"""


@dataclass(frozen=True)
class Update:
    """What a checkpoint changes in the execution's row.

    `columns` has the new values, apart from `context`, which is JSON text. `parks` gives the row back, due in `due_in`
    seconds, None = never. `finished` means that the new state is final. `obeyed` is the request that this checkpoint
    carries out. `keep_recoveries` keeps the number of recoveries, which is otherwise set to 0. With `unless_requested`,
    nothing is written if another request is pending.
    """

    columns: Mapping[str, Any]
    context: str
    parks: bool = False
    due_in: float | None = None
    finished: bool = False
    obeyed: str = ""
    keep_recoveries: bool = False
    unless_requested: bool = False


@dataclass(frozen=True)
class Written:
    """The values of the row after a checkpoint. The two times are set only if the checkpoint gives the row back."""

    version: int
    pending_request: str | None = None
    recoveries: int = 0
    due_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


@dataclass(frozen=True)
class Attached:
    """What commits together with a checkpoint: its step run, events, references and a callback."""

    run: StepRun | None = None
    events: Sequence[SagaEvent] = ()
    references: Mapping[str, Any] | None = None
    callback: Callable[[Written], None] | None = None


def mark_started(execution: SagaExecution, *, action_started: bool | None, pivot_reached: bool) -> bool:
    """Record that an action starts, before the call (promises 2 and 9).

    Returns False, and writes nothing, if a request is pending or the lease is lost.
    """
    parameters = {
        "id": execution.pk,
        "version": execution.version,
        "action_started": action_started,
        "pivot_reached": pivot_reached,
    }
    return persist(lambda: execute(connection(), MARK_STARTED, parameters)) is not None


def write_checkpoint(execution: SagaExecution, update: Update, attached: Attached) -> Written | None:
    """Write the row and all that is attached in one commit (promise 1).

    Returns None, and writes nothing, if the row is not at our version (promise 8), or if a request is pending and
    `update.unless_requested` is set. An exception of `attached.callback` rolls the commit back.
    """
    here, run = connection(), attached.run
    parameters = _parameters(here, execution, update, run)
    joined = here.vendor == "postgresql" and run is not None
    extras = attached.events or attached.references or attached.callback
    several = extras or (run and not joined)
    if joined:
        statement = PARK_WITH_STEP_RUN if update.parks else GO_ON_WITH_STEP_RUN
    else:
        statement = PARK if update.parks else GO_ON
    with in_turn(here), transaction.atomic(using=here.alias) if several else nullcontext(), open_cursor(here) as cursor:
        cursor.execute(render(statement, here.vendor), parameters)
        row = first_row(cursor)
        if row is None:
            return None
        if run and not joined:
            cursor.execute(INSERT_STEP_RUN, parameters)
        written = Written(*row[:3], *map(aware_time, row[3:]))
        if extras:
            _write_extras(execution, attached, written)
    return written


def find_written(execution: SagaExecution, run: StepRun | None) -> Written | None:
    """Look up a checkpoint after its answer was lost: return its result, or None if it was not written (promise 10).

    `run` is the step run of the checkpoint, and its id identifies the checkpoint. Without a step run the version does,
    because only the owner changes the version of a leased row.
    """
    if run:
        return find_step_run(execution.pk, run.pk)
    version = execution.version + 1
    rows = SagaExecution.objects.using(alias()).filter(pk=execution.pk, version=version, worker=execution.worker)
    found = rows.values_list("version", "pending_request", "recoveries", "due_at", "finished_at").first()
    return Written(*found) if found else None


def find_step_run(pk: int, run_id: uuid.UUID) -> Written | None:
    """Look up the checkpoint that stored the step run `run_id`: return its result, or None if there is none.

    `pk` is the primary key of the execution. If the row has changed since, the result has only the version.
    """
    sequence = StepRun.objects.using(alias()).filter(pk=run_id).values_list("sequence", flat=True).first()
    if sequence is None:
        return None
    rows = SagaExecution.objects.using(alias()).filter(pk=pk, version=sequence)
    found = rows.values_list("version", "pending_request", "recoveries", "due_at", "finished_at").first()
    return Written(*found) if found else Written(sequence)


def pending_request_of(execution: SagaExecution) -> str | None:
    """Return the pending request of the row, None if there is none; "" if the row is not at our version any more."""
    rows = SagaExecution.objects.using(alias()).filter(pk=execution.pk, version=execution.version)
    found = rows.values_list("pending_request", flat=True)[:1]
    return next(iter(found), "")


def _write_extras(execution: SagaExecution, attached: Attached, written: Written) -> None:
    for original in attached.events:
        event = copy.copy(original)  # A repeated write needs events without an id.
        event.version = written.version
        event.save(using=alias(), force_insert=True)
    save_references(execution, attached.references or {})
    if attached.callback:
        attached.callback(written)


def _parameters(
    here: BaseDatabaseWrapper, execution: SagaExecution, update: Update, run: StepRun | None
) -> dict[str, Any]:
    parameters = column_parameters(update.columns)
    parameters |= {
        "context": update.context,
        "execution_id": execution.pk,
        "version": execution.version,
        "obeyed": update.obeyed,
        "keep_recoveries": update.keep_recoveries,
        "unless_requested": update.unless_requested,
    }
    if update.parks:
        parameters |= due_parameters(update.due_in, execution.priority)
        parameters["finished"] = update.finished
    if run:
        parameters |= _step_run_parameters(here, run)
    return parameters


def _step_run_parameters(here: BaseDatabaseWrapper, run: StepRun) -> dict[str, Any]:
    """Return the columns as SQL parameters. The model's fields would do this too, but take a tenth of a saga's time."""
    time = here.ops.adapt_datetimefield_value
    return {
        "id": run.id if here.features.has_native_uuid_field else run.id.hex,
        "step": run.step,
        "direction": run.direction,
        "run": run.run,
        "attempt": run.attempt,
        "outcome": run.outcome,
        "output": None if run.output is None else dumps(run.output),
        "changes": dumps(run.changes),
        "error_type": run.error_type,
        "error_message": run.error_message,
        "idempotency_key": run.idempotency_key,
        "started_at": time(run.started_at),
        "finished_at": time(run.finished_at),
        "worker": run.worker,
        "ending": run.ending,
        "retry_at": time(run.retry_at),
        "resolution": run.resolution,
    }
