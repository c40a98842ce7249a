"""What the owner of an execution writes: that an attempt begins, and the checkpoint that ends it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sagas.definition.states import SagaState
from sagas.models import SagaExecution, SagaReference, StepRun
from sagas.models.fields import dumps
from sagas.models.querysets import fold

from .database import alias, connection, in_turn, persist
from .sql import due_times, execute, moment, one, statement

# Promise 2: the action of a step that is not idempotent is about to be called. Promise 9: so is the pivot.
# `action_started` is FALSE while such a mark is still to come, and NULL where none will: only FALSE proves anything.
MARK = """
UPDATE sagas_execution SET action_started = %s, pivot_reached = %s
WHERE id = %s AND version = %s AND pending_request IS NULL
RETURNING id
"""

# Promise 1: position and attempt in one commit. `stay` leaves due_at alone, so that PostgreSQL updates in place.
# Who was excused a death beforehand, and did not die, has -1 recoveries, which no claim looks for.
POSITION = """
UPDATE sagas_execution SET
    version = version + 1, state = %s, context = %s, steps_completed = %s, failed_step = %s,
    compensation_performed = %s, recoveries = CASE WHEN recoveries > 0 THEN recoveries * %s ELSE 0 END,
    action_started = %s, pivot_reached = %s, pending_request = NULLIF(pending_request, %s)
    {leaving}
WHERE id = %s AND version = %s {unless_wanted}
RETURNING id, version, pending_request{times}
"""
# Promise 2: parking gives the row back.
LEAVING = """,
    leased = FALSE, due_at = {after}, rank_at = {after},
    finished_at = CASE WHEN %s THEN COALESCE(finished_at, {now}) END, held = %s, needs_attention = %s"""
# Who stays knows the times, and need not have them read again.
TIMES = ", due_at, finished_at"
# Promise 9: nothing that a request could still change is settled over it.
UNLESS_WANTED = "AND COALESCE(pending_request, '') IN ('', %s)"

RUN_COLUMNS = (
    "id", "step", "direction", "run", "attempt", "outcome", "output", "changes", "error_type", "error_message",
    "idempotency_key", "started_at", "finished_at", "worker", "ending", "retry_at", "resolution",
)  # fmt: skip
RUN_TYPES = {
    "id": "uuid",
    "started_at": "timestamptz",
    "finished_at": "timestamptz",
    "retry_at": "timestamptz",
    "run": "integer",
    "attempt": "integer",
}

FILED = """
WITH mine AS ({position}), filed AS (
    INSERT INTO sagas_steprun ({columns}, execution_id, sequence)
    SELECT {values}, mine.id, mine.version FROM mine
)
SELECT id, version, pending_request{times} FROM mine
"""
FILE = """
INSERT INTO sagas_steprun ({columns}, execution_id, sequence) VALUES ({values}, %s, %s)
"""


@dataclass(frozen=True)
class Position:
    """Where an execution stands after a checkpoint. `due_in` is in seconds, None = never; it counts when leaving."""

    state: SagaState
    context: str
    steps_completed: Sequence[str]
    failed_step: str
    compensation_performed: bool
    keep_recoveries: bool = False
    action_started: bool | None = None
    pivot_reached: bool = False
    obeyed: str = ""
    leaves: bool = False
    due_in: float | None = None
    finished: bool = False
    held: str = ""
    needs_attention: bool = False
    unless_requested: bool = False


@dataclass(frozen=True)
class Moved:
    """What a checkpoint gives back: the version it wrote, what an operator asks for and, when leaving, the times."""

    version: int
    pending_request: str | None = None
    due_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


def mark(pk: int, version: int, *, action_started: bool | None, pivot_reached: bool) -> bool:
    """Put down that an attempt begins; False = a request came first, or the lease is lost."""
    return persist(lambda: one(MARK, [action_started, pivot_reached, pk, version])) is not None


def checkpoint(execution: SagaExecution, position: Position, run: StepRun | None) -> Moved | None:
    """Write the position and, with it, the attempt that led there; None = the row is not ours, or is wanted."""
    here = connection()
    guarded = position.leaves or position.unless_requested
    sql = statement(_position_template(leaves=position.leaves, guarded=guarded), here.vendor)
    parameters = _position_values(execution, position, guarded=guarded)
    if run is None:
        row = execute(here, sql, parameters)
    elif here.vendor == "postgresql":
        filing = _filed_sql(sql, leaves=position.leaves)
        row = execute(here, filing, [*parameters, *_run_values(here, run)])
    else:
        row = _two_statements(here, sql, parameters, run)
    return Moved(row[1], row[2], *map(moment, row[3:])) if row else None


def filed(pk: int, run_id: uuid.UUID) -> Moved | None:
    """What the checkpoint that stored this step run would have given back; None if it was not stored."""
    sequence = StepRun.objects.using(alias()).filter(pk=run_id).values_list("sequence", flat=True).first()
    if sequence is None:
        return None
    rows = SagaExecution.objects.using(alias()).filter(pk=pk, version=sequence)
    return Moved(sequence, *(rows.values_list("pending_request", "due_at", "finished_at").first() or ()))


def find_moved(execution: SagaExecution) -> Moved | None:
    """What a checkpoint without a step run would have given back: only its owner raises the version of a leased row."""
    version = execution.version + 1
    rows = SagaExecution.objects.using(alias()).filter(pk=execution.pk, version=version, worker=execution.worker)
    found = rows.values_list("pending_request", "due_at", "finished_at").first()
    return Moved(version, *found) if found else None


def pending_request_of(execution: SagaExecution) -> str | None:
    """What an operator asks of the row, if it is still at our version; "" = it is not ours any more."""
    rows = SagaExecution.objects.using(alias()).filter(pk=execution.pk, version=execution.version)
    found = rows.values_list("pending_request", flat=True)[:1]
    return next(iter(found), "")


def save_references(execution: SagaExecution, keys: Sequence[str], context: dict[str, Any]) -> None:
    """Make the execution findable by the values of these context keys."""
    SagaReference.objects.using(alias()).bulk_create(
        [
            SagaReference(execution_id=execution.pk, key=key[:64], value=fold(context[key]))
            for key in keys
            if isinstance(context.get(key), (str, int)) and str(context[key]).strip()
        ],
        ignore_conflicts=True,
    )


def _two_statements(here: BaseDatabaseWrapper, sql: str, parameters: list[Any], run: StepRun) -> Any:
    with in_turn(here), transaction.atomic(using=here.alias):
        row = execute(here, sql, parameters)
        if row:
            with here.cursor() as cursor:
                cursor.execute(_file_sql(), [*_run_values(here, run), row[0], row[1]])
        return row


@cache
def _position_template(*, leaves: bool, guarded: bool) -> str:
    template = POSITION.replace("{leaving}", LEAVING if leaves else "").replace("{times}", TIMES if leaves else "")
    return template.replace("{unless_wanted}", UNLESS_WANTED if guarded else "")


@lru_cache(maxsize=200)
def _filed_sql(position_sql: str, *, leaves: bool) -> str:
    values = ", ".join(f"%s::{RUN_TYPES[column]}" if column in RUN_TYPES else "%s" for column in RUN_COLUMNS)
    times = TIMES if leaves else ""
    return FILED.format(position=position_sql, columns=", ".join(RUN_COLUMNS), values=values, times=times)


@cache
def _file_sql() -> str:
    return FILE.format(columns=", ".join(RUN_COLUMNS), values=", ".join(["%s"] * len(RUN_COLUMNS)))


def _position_values(execution: SagaExecution, position: Position, *, guarded: bool) -> list[Any]:
    parameters: list[Any] = [
        position.state.value, position.context, dumps(list(position.steps_completed)), position.failed_step,
        position.compensation_performed, int(position.keep_recoveries), position.action_started, position.pivot_reached,
        position.obeyed,
    ]  # fmt: skip
    if position.leaves:
        parameters += [*due_times(position.due_in, execution.priority), position.finished]
        parameters += [position.held, position.needs_attention]
    parameters += [execution.pk, execution.version]
    return [*parameters, position.obeyed] if guarded else parameters


def _run_values(here: BaseDatabaseWrapper, run: StepRun) -> list[Any]:
    """In the order of RUN_COLUMNS; by hand, for the model's fields take a tenth of the price of a saga."""
    moment = here.ops.adapt_datetimefield_value
    return [
        run.id if here.features.has_native_uuid_field else run.id.hex,
        run.step, run.direction, run.run, run.attempt, run.outcome,
        None if run.output is None else dumps(run.output), dumps(run.changes), run.error_type, run.error_message,
        run.idempotency_key, moment(run.started_at), moment(run.finished_at), run.worker,
        run.ending, moment(run.retry_at), run.resolution,
    ]  # fmt: skip
