"""Insert an execution, and wake the workers.

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from django.db import transaction

from sagas.conf import get_settings
from sagas.definition.states import SagaState
from sagas.models import SagaExecution, SagaReference
from sagas.models.querysets import normalize_reference

from .database import alias, connection
from .sql import aware_time, column_parameters, due_parameters, execute, first_row, open_cursor, render

CHANNEL = "sagas"

# Promise 17: saga_id is unique. If no row is returned, the id is taken, by this start or by another.
# PostgreSQL sends the notification at the commit, and only if a row was inserted.
INSERT_EXECUTION = {
    "postgresql": """
INSERT INTO sagas_execution (
    saga_id, saga_name, state, input, context, plan, run, input_hash, owner_id, priority,
    created_at, started_at, due_at, rank_at, leased, worker, version, lost, recoveries,
    steps_completed, failed_step, compensation_performed, needs_attention, held,
    action_started, pivot_reached, budget_since, keys_since
) VALUES (
    %(saga_id)s, %(saga_name)s, %(state)s, %(input)s, %(context)s, %(plan)s, %(run)s, %(input_hash)s, %(owner_id)s,
    %(priority)s,
    {now}, CASE WHEN %(leased)s THEN {now} END, {due_at}, {rank_at}, %(leased)s, %(worker)s, %(version)s, %(lost)s,
    %(recoveries)s,
    %(steps_completed)s, %(failed_step)s, %(compensation_performed)s, %(needs_attention)s, %(held)s,
    %(action_started)s, %(pivot_reached)s, %(budget_since)s, %(keys_since)s
) ON CONFLICT (saga_id) DO NOTHING
RETURNING id, created_at, CASE WHEN %(notify)s THEN pg_notify(%(channel)s, '') END
""",
    "sqlite": """
INSERT INTO sagas_execution (
    saga_id, saga_name, state, input, context, plan, run, input_hash, owner_id, priority,
    created_at, started_at, due_at, rank_at, leased, worker, version, lost, recoveries,
    steps_completed, failed_step, compensation_performed, needs_attention, held,
    action_started, pivot_reached, budget_since, keys_since
) VALUES (
    %(saga_id)s, %(saga_name)s, %(state)s, %(input)s, %(context)s, %(plan)s, %(run)s, %(input_hash)s, %(owner_id)s,
    %(priority)s,
    {now}, CASE WHEN %(leased)s THEN {now} END, {due_at}, {rank_at}, %(leased)s, %(worker)s, %(version)s, %(lost)s,
    %(recoveries)s,
    %(steps_completed)s, %(failed_step)s, %(compensation_performed)s, %(needs_attention)s, %(held)s,
    %(action_started)s, %(pivot_reached)s, %(budget_since)s, %(keys_since)s
) ON CONFLICT (saga_id) DO NOTHING
RETURNING id, created_at
""",
}

NOTIFY = "SELECT pg_notify(%(channel)s, '')"


def insert_execution(execution: SagaExecution, references: Mapping[str, Any], *, lease: float | None) -> bool:
    """Insert the execution with its references. Return False if the id is taken (promise 17).

    With `lease`, in seconds, the caller owns the execution, which is in progress. With None it is pending and due. Sets
    the primary key, the state and the times on `execution`; the times are the database's.
    """
    here, owned = connection(), lease is not None
    execution.state = SagaState.IN_PROGRESS if owned else SagaState.PENDING
    execution.leased, execution.version = owned, 1
    columns = {name: value for name, value in vars(execution).items() if name != "_state"}
    parameters = column_parameters(columns) | due_parameters(lease or 0.0, execution.priority)
    parameters |= {"notify": not owned and get_settings().NOTIFY, "channel": CHANNEL}
    with transaction.atomic(using=here.alias) if references else nullcontext(), open_cursor(here) as cursor:
        cursor.execute(render(INSERT_EXECUTION[here.vendor], here.vendor), parameters)
        row = first_row(cursor)
        if row is None:
            return False
        execution.pk, execution.created_at = row[0], aware_time(row[1])
        save_references(execution, references)
    execution.started_at = execution.created_at if owned else None
    execution.just_started = True
    return True


def find_inserted(execution: SagaExecution) -> bool:
    """Look up an insert after its answer was lost: return whether it happened (promise 10).

    If so, set the primary key, the times and the version on `execution`. The worker name identifies the insert.
    """
    rows = SagaExecution.objects.using(alias()).filter(saga_id=execution.saga_id, worker=execution.worker, version=1)
    stored = rows.first()
    if stored is None:
        return False
    execution.pk, execution.created_at, execution.started_at = stored.pk, stored.created_at, stored.started_at
    execution.version, execution.leased, execution.just_started = 1, stored.leased, True
    return True


def save_references(execution: SagaExecution, values: Mapping[str, Any]) -> None:
    """Make the execution findable by these values. `values` maps context keys to values.

    Only texts and integers are stored. Existing references stay.
    """
    references = [
        SagaReference(execution_id=execution.pk, key=key[:64], value=normalize_reference(value))
        for key, value in values.items()
        if isinstance(value, (str, int)) and str(value).strip()
    ]
    if references:
        SagaReference.objects.using(alias()).bulk_create(references, ignore_conflicts=True)


def wake_workers() -> None:
    """Notify the workers that something is due, once the current transaction commits. PostgreSQL with NOTIFY only.

    On SQLite the workers notice each commit themselves.
    """
    here = connection()
    if here.vendor == "postgresql" and get_settings().NOTIFY:
        execute(here, NOTIFY, {"channel": CHANNEL})
