"""The beginning of an execution, and the workers' bell."""

from __future__ import annotations

from sagas.conf import get_settings
from sagas.definition.states import SagaState
from sagas.models import SagaExecution
from sagas.models.fields import dumps

from .database import alias, connection
from .sql import due_times, execute, moment, one

# Promise 17: no row back means that the id is taken, by this start or by another.
BEGIN = """
INSERT INTO sagas_execution (
    saga_id, saga_name, state, input, context, plan, input_hash, owner_id, priority, leased, worker,
    created_at, started_at, due_at, rank_at, action_started,
    run, steps_completed, failed_step, compensation_performed, needs_attention, held, version, lost, recoveries,
    pivot_reached, budget_since, keys_since
) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
    {now}, CASE WHEN %s THEN {now} END, {after}, {after}, %s,
    1, '[]', '', FALSE, FALSE, '', 1, FALSE, 0,
    FALSE, 0, 0
) ON CONFLICT (saga_id) DO NOTHING
RETURNING id, created_at {wake}
"""

# The workers' bell rides in the same statement; PostgreSQL rings it at the commit, and without a row not at all.
CHANNEL = "sagas"
WAKING = f", pg_notify('{CHANNEL}', '')"
WAKE = "SELECT pg_notify(%s, '')"


def insert_execution(execution: SagaExecution, *, lease: float | None) -> bool:
    """Insert the execution: with a lease (seconds) as ours and in progress, without as pending and due.

    False = the id is taken. Fills in `id` and the times; the times are the database's.
    """
    owned = lease is not None
    execution.state = SagaState.IN_PROGRESS if owned else SagaState.PENDING
    parameters = [
        execution.saga_id, execution.saga_name, execution.state.value, dumps(execution.input),
        dumps(execution.context), dumps(execution.plan), execution.input_hash, execution.owner_id,
        int(execution.priority), owned, execution.worker,
        owned, *due_times(lease or 0.0, execution.priority), execution.action_started,
    ]  # fmt: skip
    waking = not owned and connection().vendor == "postgresql" and get_settings().NOTIFY
    row = one(BEGIN.replace("{wake}", WAKING if waking else ""), parameters)
    if row is None:
        return False
    execution.pk = row[0]
    execution.created_at = moment(row[1])
    execution.started_at = execution.created_at if owned else None
    execution.version, execution.leased, execution.just_started = 1, owned, True
    return True


def find_inserted(execution: SagaExecution) -> bool:
    """Whether a `begin` whose answer got lost did insert this execution: nobody else has its worker's name."""
    rows = SagaExecution.objects.using(alias()).filter(saga_id=execution.saga_id, worker=execution.worker, version=1)
    stored = rows.first()
    if stored is None:
        return False
    execution.pk, execution.created_at, execution.started_at = stored.pk, stored.created_at, stored.started_at
    execution.version, execution.leased, execution.just_started = 1, stored.leased, True
    return True


def wake_workers() -> None:
    """Tell the workers, once the transaction commits, that something is due; on SQLite they see each commit."""
    here = connection()
    if here.vendor == "postgresql" and get_settings().NOTIFY:
        execute(here, WAKE, [CHANNEL])
