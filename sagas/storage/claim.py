"""Who takes what is due, and keeps it: claims, renewals, and when to look again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sagas.conf import get_settings
from sagas.definition.states import Priority
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.fields import dumps

from .database import alias, connection, in_turn, persist
from .sql import due_times, execute, moment, one, statement

# More than any execution has: what PostgreSQL's integer holds.
UNLIMITED_RECOVERIES = 2**31 - 1

RECOVERIES = "recoveries + CASE WHEN leased THEN 1 ELSE 0 END"
TAKEN = """
    version = version + 1, lost = leased, leased = TRUE, worker = %s,
    recoveries = {recoveries},
    started_at = CASE WHEN state = 'pending' THEN {now} ELSE started_at END,
    state = CASE WHEN state = 'pending' THEN 'in_progress' ELSE state END,
    due_at = {after}"""
# Promises 2 and 8: whoever gets the row back owns it; `lost` tells that the owner before did not give it back.
CLAIM = """
UPDATE sagas_execution SET {taken}, rank_at = {after}
WHERE saga_id = %s AND due_at <= {now}
RETURNING *, {now} AS claimed_at
"""

# The same for as many as there are hands for. SKIP LOCKED passes over what another worker is just taking.
CLAIM_DUE = {
    "postgresql": """
WITH due AS MATERIALIZED ({which})
UPDATE sagas_execution SET {taken}, rank_at = {rank}
FROM due WHERE sagas_execution.id = due.id AND due_at <= {now}
RETURNING sagas_execution.*, {now} AS claimed_at
""",
    "sqlite": """
UPDATE sagas_execution SET {taken}, rank_at = {rank}
WHERE id IN ({which})
RETURNING *, {now} AS claimed_at
""",
}
# Whom to take, in the order of their rank: first come, but HIGH overtakes what has not waited longer by AGEING. Each
# priority is asked by itself, for within one the order of rank is that of due_at, and the index then has no rows to
# pass over that are not due.
FIRST_DUE = "SELECT id FROM ({of_each}) AS ours ORDER BY rank_at LIMIT %s"
OF_ONE_PRIORITY = """
SELECT * FROM (
    SELECT id, rank_at FROM sagas_execution {by_due}
    WHERE priority = {priority} AND due_at <= {now} AND {known} AND {recoveries} BETWEEN %s AND %s
    ORDER BY due_at LIMIT %s {skip}
) AS of_{priority}
"""
# Those who have lost a worker are few, and have an index of their own: nobody reads a backlog to find them.
FIRST_RECOVERED = """
SELECT id FROM sagas_execution
WHERE ({in_hand} OR recoveries > 0) AND due_at <= {now} AND {known} AND {recoveries} BETWEEN %s AND %s
ORDER BY rank_at LIMIT %s {skip}
"""
# On SQLite the pusher asks this after each commit.
NEXT_DUE = "SELECT MIN(due_at), {now} FROM ({of_each}) AS first"
NEXT_OF_ONE_PRIORITY = """
SELECT * FROM (
    SELECT due_at FROM sagas_execution {by_due}
    WHERE priority = {priority} AND due_at <= {after} AND {known}
    ORDER BY due_at LIMIT 1
) AS of_{priority}
"""
# SQLite plans without statistics, and is told; the condition of an index must be put in the words it was made with.
WORDS = {
    "postgresql": {"known": "saga_name = ANY(%s)", "by_due": "", "in_hand": "leased"},
    "sqlite": {
        "known": "saga_name IN (SELECT value FROM json_each(%s))",
        "by_due": "INDEXED BY sagas_execution_due",
        "in_hand": "leased IN (1)",
    },
}

# Promise 2: an owner that failed in its own code lets its lease run out, so that the next one files its attempt.
EXPIRE = """
UPDATE sagas_execution SET due_at = {now}, rank_at = CASE WHEN rank_at > {now} THEN {now} ELSE rank_at END
WHERE id = %s AND version = %s AND leased
RETURNING id
"""

# Promise 8: a heartbeat moves due_at and nothing else; a row that does not come back is not ours any more.
RENEW = {
    "postgresql": """
UPDATE sagas_execution SET due_at = {after} FROM (
    SELECT row.id FROM sagas_execution AS row
    JOIN unnest(%s::bigint[], %s::bigint[]) AS mine(id, version) ON row.id = mine.id AND row.version = mine.version
    WHERE row.leased ORDER BY row.id {skip}
) AS held
WHERE sagas_execution.id = held.id
RETURNING sagas_execution.id, sagas_execution.version
""",
    "sqlite": """
UPDATE sagas_execution SET due_at = {after}
WHERE leased AND (id, version) IN (SELECT column1, column2 FROM (VALUES {pairs}))
RETURNING id, version
""",
}


def claim(saga_id: str, *, worker: str, lease: float, priority: int) -> SagaExecution | None:
    """Take a due execution for `lease` seconds; None when it is not due or somebody else was quicker."""
    vendor = connection().vendor
    parameters = [worker, *due_times(lease, priority), saga_id]
    rows = list(SagaExecution.objects.using(alias()).raw(statement(_claim_of_one(vendor), vendor), parameters))
    if not rows:
        return None
    execution = rows[0]
    execution.claimed_at = moment(execution.claimed_at)
    return execution


def find_claimed(saga_id: str, *, worker: str) -> SagaExecution | None:
    """The execution, if a `claim` whose answer got lost did take it."""
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
    """Take up to `count` due executions of these sagas for `lease` seconds, the most urgent first.

    `recoveries` is the least and the most that `recoveries` may be once they are taken.
    """
    sql, parameters = _claim(connection().vendor, count, list(saga_names), recoveries)
    taken = [worker, round(lease, 3), round(lease, 3), get_settings().AGEING]
    parameters = [*parameters, *taken] if connection().vendor == "postgresql" else [*taken, *parameters]
    with in_turn(connection()):
        rows = list(SagaExecution.objects.using(alias()).raw(sql, parameters))
    for execution in rows:
        execution.claimed_at = moment(execution.claimed_at)
    return rows


def find_all_claimed(*, worker: str) -> list[SagaExecution]:
    """The executions that a `claim_due` whose answer got lost did take; `worker` must be a name of its own."""
    rows: Any = SagaExecution.objects.using(alias()).leased_rows().filter(worker=worker)
    return list(rows.annotate(claimed_at=CLOCK.now()))


def due_in(within: float, saga_names: Sequence[str]) -> float:
    """Seconds until the next execution of these sagas is due, 0.0 if one is, at most `within`."""
    here, names = connection(), list(saga_names)
    soon = [round(within, 3), names if here.vendor == "postgresql" else dumps(names)]
    due_at, now = execute(here, statement(_next_template(here.vendor), here.vendor), soon * len(Priority))
    return max(0.0, (moment(due_at) - moment(now)).total_seconds()) if due_at else within


def renew(leases: Sequence[tuple[int, int]], *, lease: float) -> set[tuple[int, int]]:
    """Renew (id, version) pairs; those that were renewed."""
    here = connection()
    if here.vendor == "postgresql":
        sql = RENEW["postgresql"].format(**CLOCK.sql(here.vendor))
        parameters: list[Any] = [lease, [pk for pk, _ in leases], [version for _, version in leases]]
    else:
        pairs = ", ".join(["(%s, %s)"] * len(leases))
        sql = RENEW["sqlite"].format(pairs=pairs, **CLOCK.sql(here.vendor))
        parameters = [round(lease, 3), *(number for pair in leases for number in pair)]
    with here.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {(pk, version) for pk, version in cursor.fetchall()}


def expire(pk: int, version: int) -> None:
    """Let our lease run out now; whoever claims the row takes it over as from a dead owner."""
    persist(lambda: one(EXPIRE, [pk, version]))


@cache
def _claim_of_one(vendor: str) -> str:
    return _worded(CLAIM, vendor)


def _claim(vendor: str, count: int, saga_names: list[str], recoveries: tuple[int, int]) -> tuple[str, list[Any]]:
    """The claim's statement, and the parameters that say whom to take."""
    sql = statement(_claim_template(vendor, recovered=recoveries[0] > 0), vendor)
    whom = [saga_names if vendor == "postgresql" else dumps(saga_names), *recoveries, count]
    return sql, whom if recoveries[0] > 0 else [*whom * len(Priority), count]


@cache
def _claim_template(vendor: str, *, recovered: bool) -> str:
    which = FIRST_RECOVERED if recovered else FIRST_DUE.replace("{of_each}", _of_each(OF_ONE_PRIORITY))
    return _worded(CLAIM_DUE[vendor].replace("{which}", which), vendor)


@cache
def _next_template(vendor: str) -> str:
    return _worded(NEXT_DUE.replace("{of_each}", _of_each(NEXT_OF_ONE_PRIORITY)), vendor)


def _of_each(of_one_priority: str) -> str:
    return "UNION ALL".join(of_one_priority.replace("{priority}", str(priority.value)) for priority in Priority)


def _worded(template: str, vendor: str) -> str:
    template = template.replace("{taken}", TAKEN).replace("{recoveries}", RECOVERIES)
    for name, words in WORDS[vendor].items():
        template = template.replace(f"{{{name}}}", words)
    return template
