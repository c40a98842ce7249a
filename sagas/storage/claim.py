"""Own executions: claim what is due, renew and expire leases, and find when the next execution is due.

A claim takes HIGH before NORMAL before LOW. A lower priority comes first if it has waited AGEING seconds longer for
each level: `rank_at` is `due_at` minus priority times AGEING. Within one priority `rank_at` and `due_at` have the same
order. Therefore each priority is searched separately by the index on (priority, due_at), which reads no rows that are
not due.

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagas.conf import get_settings
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.fields import dumps

from .database import alias, connection, in_turn, persist
from .sql import aware_time, due_parameters, execute, render

# More recoveries than any execution has: the largest integer of PostgreSQL.
UNLIMITED_RECOVERIES = 2**31 - 1

# Promises 2 and 8: one owner. The right-hand sides read the old row, so `lost` is true if the previous owner did not
# give the row back.
CLAIM = """
UPDATE sagas_execution SET
    version = version + 1, lost = leased, leased = TRUE, worker = %(worker)s,
    recoveries = recoveries + CASE WHEN leased THEN 1 ELSE 0 END,
    started_at = CASE WHEN state = 'pending' THEN {now} ELSE started_at END,
    state = CASE WHEN state = 'pending' THEN 'in_progress' ELSE state END,
    due_at = {due_at}, rank_at = {rank_at}
WHERE saga_id = %(saga_id)s AND due_at <= {now}
RETURNING *, {now} AS claimed_at
"""

# The same promises, for as many executions as a worker has free threads. SKIP LOCKED leaves out the rows that
# another worker is claiming. SQLite needs no locks, because it has one writer at a time.
CLAIM_DUE = {
    "postgresql": """
WITH due AS MATERIALIZED (
    SELECT id FROM (
        SELECT * FROM (
            SELECT id, rank_at FROM sagas_execution
            WHERE priority = 0 AND due_at <= {now} AND saga_name = ANY(%(saga_names)s)
                AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
            ORDER BY due_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
        ) AS low
        UNION ALL
        SELECT * FROM (
            SELECT id, rank_at FROM sagas_execution
            WHERE priority = 1 AND due_at <= {now} AND saga_name = ANY(%(saga_names)s)
                AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
            ORDER BY due_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
        ) AS normal
        UNION ALL
        SELECT * FROM (
            SELECT id, rank_at FROM sagas_execution
            WHERE priority = 2 AND due_at <= {now} AND saga_name = ANY(%(saga_names)s)
                AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
            ORDER BY due_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
        ) AS high
    ) AS candidates
    ORDER BY rank_at LIMIT %(count)s
)
UPDATE sagas_execution SET
    version = version + 1, lost = leased, leased = TRUE, worker = %(worker)s,
    recoveries = recoveries + CASE WHEN leased THEN 1 ELSE 0 END,
    started_at = CASE WHEN state = 'pending' THEN {now} ELSE started_at END,
    state = CASE WHEN state = 'pending' THEN 'in_progress' ELSE state END,
    due_at = {due_at}, rank_at = {rank_by_priority}
FROM due WHERE sagas_execution.id = due.id AND due_at <= {now}
RETURNING sagas_execution.*, {now} AS claimed_at
""",
    "sqlite": """
UPDATE sagas_execution SET
    version = version + 1, lost = leased, leased = TRUE, worker = %(worker)s,
    recoveries = recoveries + CASE WHEN leased THEN 1 ELSE 0 END,
    started_at = CASE WHEN state = 'pending' THEN {now} ELSE started_at END,
    state = CASE WHEN state = 'pending' THEN 'in_progress' ELSE state END,
    due_at = {due_at}, rank_at = {rank_by_priority}
WHERE id IN (
    SELECT id FROM (
        SELECT * FROM (
            SELECT id, rank_at FROM sagas_execution INDEXED BY sagas_execution_due
            WHERE priority = 0 AND due_at <= {now}
                AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
                AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
            ORDER BY due_at LIMIT %(count)s
        ) AS low
        UNION ALL
        SELECT * FROM (
            SELECT id, rank_at FROM sagas_execution INDEXED BY sagas_execution_due
            WHERE priority = 1 AND due_at <= {now}
                AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
                AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
            ORDER BY due_at LIMIT %(count)s
        ) AS normal
        UNION ALL
        SELECT * FROM (
            SELECT id, rank_at FROM sagas_execution INDEXED BY sagas_execution_due
            WHERE priority = 2 AND due_at <= {now}
                AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
                AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
            ORDER BY due_at LIMIT %(count)s
        ) AS high
    ) AS candidates
    ORDER BY rank_at LIMIT %(count)s
)
RETURNING *, {now} AS claimed_at
""",
}

# Promise 11: executions that have lost a worker are claimed separately from others. They are few, and have their own
# index. SQLite uses the index only if the condition has the same text as the index: `leased IN (1)`.
CLAIM_RECOVERED = {
    "postgresql": """
WITH due AS MATERIALIZED (
    SELECT id FROM sagas_execution
    WHERE (leased OR recoveries > 0) AND due_at <= {now} AND saga_name = ANY(%(saga_names)s)
        AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
    ORDER BY rank_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
)
UPDATE sagas_execution SET
    version = version + 1, lost = leased, leased = TRUE, worker = %(worker)s,
    recoveries = recoveries + CASE WHEN leased THEN 1 ELSE 0 END,
    started_at = CASE WHEN state = 'pending' THEN {now} ELSE started_at END,
    state = CASE WHEN state = 'pending' THEN 'in_progress' ELSE state END,
    due_at = {due_at}, rank_at = {rank_by_priority}
FROM due WHERE sagas_execution.id = due.id AND due_at <= {now}
RETURNING sagas_execution.*, {now} AS claimed_at
""",
    "sqlite": """
UPDATE sagas_execution SET
    version = version + 1, lost = leased, leased = TRUE, worker = %(worker)s,
    recoveries = recoveries + CASE WHEN leased THEN 1 ELSE 0 END,
    started_at = CASE WHEN state = 'pending' THEN {now} ELSE started_at END,
    state = CASE WHEN state = 'pending' THEN 'in_progress' ELSE state END,
    due_at = {due_at}, rank_at = {rank_by_priority}
WHERE id IN (
    SELECT id FROM sagas_execution
    WHERE (leased IN (1) OR recoveries > 0) AND due_at <= {now}
        AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
        AND recoveries + CASE WHEN leased THEN 1 ELSE 0 END BETWEEN %(least)s AND %(most)s
    ORDER BY rank_at LIMIT %(count)s
)
RETURNING *, {now} AS claimed_at
""",
}

# Reads only. On SQLite the pusher executes this after each commit.
NEXT_DUE = {
    "postgresql": """
SELECT MIN(due_at), {now} FROM (
    SELECT * FROM (
        SELECT due_at FROM sagas_execution
        WHERE priority = 0 AND due_at <= {due_at} AND saga_name = ANY(%(saga_names)s)
        ORDER BY due_at LIMIT 1
    ) AS low
    UNION ALL
    SELECT * FROM (
        SELECT due_at FROM sagas_execution
        WHERE priority = 1 AND due_at <= {due_at} AND saga_name = ANY(%(saga_names)s)
        ORDER BY due_at LIMIT 1
    ) AS normal
    UNION ALL
    SELECT * FROM (
        SELECT due_at FROM sagas_execution
        WHERE priority = 2 AND due_at <= {due_at} AND saga_name = ANY(%(saga_names)s)
        ORDER BY due_at LIMIT 1
    ) AS high
) AS next
""",
    "sqlite": """
SELECT MIN(due_at), {now} FROM (
    SELECT * FROM (
        SELECT due_at FROM sagas_execution INDEXED BY sagas_execution_due
        WHERE priority = 0 AND due_at <= {due_at} AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
        ORDER BY due_at LIMIT 1
    ) AS low
    UNION ALL
    SELECT * FROM (
        SELECT due_at FROM sagas_execution INDEXED BY sagas_execution_due
        WHERE priority = 1 AND due_at <= {due_at} AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
        ORDER BY due_at LIMIT 1
    ) AS normal
    UNION ALL
    SELECT * FROM (
        SELECT due_at FROM sagas_execution INDEXED BY sagas_execution_due
        WHERE priority = 2 AND due_at <= {due_at} AND saga_name IN (SELECT value FROM json_each(%(saga_names)s))
        ORDER BY due_at LIMIT 1
    ) AS high
) AS next
""",
}

# Promise 8: a heartbeat changes due_at only. A row that is not returned was not renewed.
RENEW = {
    "postgresql": """
UPDATE sagas_execution SET due_at = {due_at} FROM (
    SELECT row.id FROM sagas_execution AS row
    JOIN unnest(%(ids)s::bigint[], %(versions)s::bigint[]) AS mine(id, version)
        ON row.id = mine.id AND row.version = mine.version
    WHERE row.leased ORDER BY row.id FOR UPDATE SKIP LOCKED
) AS held
WHERE sagas_execution.id = held.id
RETURNING sagas_execution.id, sagas_execution.version
""",
    "sqlite": """
UPDATE sagas_execution SET due_at = {due_at}
WHERE leased AND (id, version) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(%(leases)s)
)
RETURNING id, version
""",
}

# Promise 2: after an error of its own, an owner ends its lease, so that the next owner records the attempt.
EXPIRE = """
UPDATE sagas_execution SET due_at = {now}, rank_at = CASE WHEN rank_at > {now} THEN {now} ELSE rank_at END
WHERE id = %(id)s AND version = %(version)s AND leased
RETURNING id
"""


def claim(saga_id: str, *, worker: str, lease: float, priority: int) -> SagaExecution | None:
    """Claim one execution for `lease` seconds and return it (promise 8).

    Returns None if the execution does not exist or is not due, also because another worker has claimed it. `worker`
    must be a new name, so that `find_claimed` can identify the claim. `priority` decides the order if the lease
    expires.
    """
    parameters = {"worker": worker, "saga_id": saga_id, **due_parameters(lease, priority)}
    claimed = _claimed(CLAIM, parameters)
    return claimed[0] if claimed else None


def find_claimed(saga_id: str, *, worker: str) -> SagaExecution | None:
    """Look up a `claim` after its answer was lost: return the execution, or None if the claim did not happen.

    The worker name identifies the claim (promise 10).
    """
    rows: Any = SagaExecution.objects.using(alias()).filter(saga_id=saga_id, worker=worker, leased=True)
    found: SagaExecution | None = rows.annotate(claimed_at=CLOCK.now()).first()
    return found


def claim_due(
    count: int,
    saga_names: Sequence[str],
    *,
    worker: str,
    lease: float,
    recoveries: tuple[int, int] = (0, UNLIMITED_RECOVERIES),
) -> list[SagaExecution]:
    """Claim up to `count` due executions of these sagas for `lease` seconds (promise 8).

    Takes those with the earliest `rank_at`; the list itself has no promised order. `recoveries` is the least and the
    most recoveries that an execution may have, this claim included (promise 11). `worker` must be a new name, for
    `find_all_claimed`.
    """
    vendor, (least, most) = connection().vendor, recoveries
    statement = CLAIM_RECOVERED[vendor] if least > 0 else CLAIM_DUE[vendor]
    parameters = {
        "count": count,
        "saga_names": _name_list(saga_names),
        "least": least,
        "most": most,
        "worker": worker,
        "due_in": round(lease, 3),
        "ageing": get_settings().AGEING,
    }
    with in_turn(connection()):
        return _claimed(statement, parameters)


def find_all_claimed(*, worker: str) -> list[SagaExecution]:
    """Look up a `claim_due` after its answer was lost: return the executions that it claimed (promise 10).

    No other claim may have used the name `worker`.
    """
    rows: Any = SagaExecution.objects.using(alias()).leased_rows().filter(worker=worker)
    return list(rows.annotate(claimed_at=CLOCK.now()))


def due_in(within: float, saga_names: Sequence[str]) -> float:
    """Return the seconds until the next execution of these sagas is due.

    0.0 if one is due now; `within` if none is due in the next `within` seconds. Claims nothing.
    """
    here = connection()
    parameters = {"due_in": round(within, 3), "saga_names": _name_list(saga_names)}
    due_at, now = execute(here, NEXT_DUE[here.vendor], parameters)
    return max(0.0, (aware_time(due_at) - aware_time(now)).total_seconds()) if due_at else within


def renew(leases: Sequence[tuple[int, int]], *, lease: float) -> set[tuple[int, int]]:
    """Renew leases for `lease` seconds. Each is a pair of the row's id and the version at which it is held.

    Returns the pairs that were renewed. A missing pair has another owner, or its row was locked at that moment.
    """
    here = connection()
    parameters: dict[str, Any] = {"due_in": round(lease, 3)}
    if here.vendor == "postgresql":
        parameters |= {"ids": [pk for pk, _ in leases], "versions": [version for _, version in leases]}
    else:
        parameters["leases"] = dumps(leases)
    with here.cursor() as cursor:
        cursor.execute(render(RENEW[here.vendor], here.vendor), parameters)
        return {(pk, version) for pk, version in cursor.fetchall()}


def expire(pk: int, version: int) -> None:
    """End our lease now, so that the next claim recovers the execution (promise 2).

    Does nothing if the row is not leased at this version.
    """
    persist(lambda: execute(connection(), EXPIRE, {"id": pk, "version": version}))


def _claimed(statement: str, parameters: dict[str, Any]) -> list[SagaExecution]:
    sql = render(statement, connection().vendor)
    executions = list(SagaExecution.objects.using(alias()).raw(sql, parameters))
    for execution in executions:
        execution.claimed_at = aware_time(execution.claimed_at)
    return executions


def _name_list(saga_names: Sequence[str]) -> Any:
    """Return the names as an SQL parameter: an array on PostgreSQL, JSON on SQLite."""
    return list(saga_names) if connection().vendor == "postgresql" else dumps(list(saga_names))
