"""The hot path, in hand-written SQL: begin, claim, checkpoint, renew. Everything else is the ORM.

Every statement that moves an execution is fenced by its version. `{now}`, `{after}` (seconds from now) and `{rank}`
(the same, less the priority's ageing) are the database's clock on PostgreSQL and the host's on SQLite, where both are
one machine.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .clock import CLOCK
from .conf import get_settings
from .database import alias, connection, in_turn, persist
from .fields import dumps
from .models import SagaExecution, SagaReference, StepRun
from .querysets import fold
from .states import Priority, SagaState

# More than any execution has: what PostgreSQL's integer holds.
MAX_DEATHS = 2**31 - 1

# Promise 17: no row back means that the id is taken, by this start or by another.
BEGIN = """
INSERT INTO sagas_execution (
    saga_id, saga_name, state, input, context, plan, input_hash, owner_id, priority, leased, worker,
    created_at, started_at, due_at, rank_at, begun,
    run, steps_completed, failed_step, compensation_performed, needs_attention, held, version, lost, recoveries,
    pivoting, budget_since, keys_since
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

DEATHS = "recoveries + CASE WHEN leased THEN 1 ELSE 0 END"
TAKEN = """
    version = version + 1, lost = leased, leased = TRUE, worker = %s,
    recoveries = {deaths},
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
    WHERE priority = {priority} AND due_at <= {now} AND {known} AND {deaths} BETWEEN %s AND %s
    ORDER BY due_at LIMIT %s {skip}
) AS of_{priority}
"""
# Those who have lost a worker are few, and have an index of their own: nobody reads a backlog to find them.
FIRST_SUSPECTS = """
SELECT id FROM sagas_execution
WHERE ({in_hand} OR recoveries > 0) AND due_at <= {now} AND {known} AND {deaths} BETWEEN %s AND %s
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

# Promise 2: the action of a step that is not idempotent is about to be called. Promise 9: so is the pivot.
# `begun` is FALSE while such a mark is still to come, and NULL where none will: only FALSE proves anything.
MARK = """
UPDATE sagas_execution SET begun = %s, pivoting = %s
WHERE id = %s AND version = %s AND wants IS NULL
RETURNING id
"""

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
RETURNING sagas_execution.id
""",
    "sqlite": """
UPDATE sagas_execution SET due_at = {after}
WHERE leased AND (id, version) IN (SELECT column1, column2 FROM (VALUES {pairs}))
RETURNING id
""",
}

# Promise 1: position and attempt in one commit. `stay` leaves due_at alone, so that PostgreSQL updates in place.
POSITION = """
UPDATE sagas_execution SET
    version = version + 1, state = %s, context = %s, steps_completed = %s, failed_step = %s,
    compensation_performed = %s, recoveries = recoveries * %s, begun = %s, pivoting = %s,
    wants = NULLIF(wants, %s)
    {leaving}
WHERE id = %s AND version = %s {unless_wanted}
RETURNING id, version, wants{times}
"""
# Promise 2: parking gives the row back.
LEAVING = """,
    leased = FALSE, due_at = {after}, rank_at = {after},
    finished_at = CASE WHEN %s THEN COALESCE(finished_at, {now}) END, held = %s, needs_attention = %s"""
# Who stays knows the times, and need not have them read again.
TIMES = ", due_at, finished_at"
# Promise 9: nothing that a request could still change is settled over it.
UNLESS_WANTED = "AND COALESCE(wants, '') IN ('', %s)"

MOST_CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""

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
SELECT id, version, wants{times} FROM mine
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
    begun: bool | None = None
    pivoting: bool = False
    obeyed: str = ""
    leaves: bool = False
    due_in: float | None = None
    finished: bool = False
    held: str = ""
    needs_attention: bool = False
    unless_wanted: bool = False


@dataclass(frozen=True)
class Moved:
    """What a checkpoint gives back: the version it wrote, what an operator asks for and, when leaving, the times."""

    version: int
    wants: str | None = None
    due_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


def begin(execution: SagaExecution, *, lease: float | None) -> bool:
    """Insert the execution: with a lease (seconds) as ours and in progress, without as pending and due.

    False = the id is taken. Fills in `id` and the times; the times are the database's.
    """
    owned = lease is not None
    execution.state = SagaState.IN_PROGRESS if owned else SagaState.PENDING
    parameters = [
        execution.saga_id, execution.saga_name, execution.state.value, dumps(execution.input),
        dumps(execution.context), dumps(execution.plan), execution.input_hash, execution.owner_id,
        int(execution.priority), owned, execution.worker,
        owned, *_due(lease or 0.0, execution.priority), execution.begun,
    ]  # fmt: skip
    waking = not owned and connection().vendor == "postgresql" and get_settings().NOTIFY
    row = _one(BEGIN.replace("{wake}", WAKING if waking else ""), parameters)
    if row is None:
        return False
    execution.pk = row[0]
    execution.created_at = _moment(row[1])
    execution.started_at = execution.created_at if owned else None
    execution.version, execution.leased, execution.just_started = 1, owned, True
    return True


def find_begun(execution: SagaExecution) -> bool:
    """Whether a `begin` whose answer got lost did insert this execution: nobody else has its worker's name."""
    rows = SagaExecution.objects.using(alias()).filter(saga_id=execution.saga_id, worker=execution.worker, version=1)
    stored = rows.first()
    if stored is None:
        return False
    execution.pk, execution.created_at, execution.started_at = stored.pk, stored.created_at, stored.started_at
    execution.version, execution.leased, execution.just_started = 1, stored.leased, True
    return True


def find_claimed(saga_id: str, *, worker: str) -> SagaExecution | None:
    """The execution, if a `claim` whose answer got lost did take it."""
    rows: Any = SagaExecution.objects.using(alias()).filter(saga_id=saga_id, worker=worker, leased=True)
    found: SagaExecution | None = rows.annotate(claimed_at=CLOCK.now()).first()
    return found


def claim(saga_id: str, *, worker: str, lease: float, priority: int) -> SagaExecution | None:
    """Take a due execution for `lease` seconds; None when it is not due or somebody else was quicker."""
    sql, due = _sql(CLAIM, connection().vendor), _due(lease, priority)
    rows = list(SagaExecution.objects.using(alias()).raw(sql, [worker, *due, saga_id]))
    if not rows:
        return None
    execution = rows[0]
    execution.claimed_at = _moment(execution.claimed_at)
    return execution


def claim_due(
    count: int, saga_names: Sequence[str], *, worker: str, lease: float, deaths: tuple[int, int] = (0, MAX_DEATHS)
) -> list[SagaExecution]:
    """Take up to `count` due executions of these sagas for `lease` seconds, the most urgent first.

    `deaths` is the least and the most that `recoveries` may be once they are taken.
    """
    sql, parameters = _claim(connection().vendor, count, list(saga_names), deaths)
    taken = [worker, round(lease, 3), round(lease, 3), get_settings().AGEING]
    parameters = [*parameters, *taken] if connection().vendor == "postgresql" else [*taken, *parameters]
    with in_turn(connection()):
        rows = list(SagaExecution.objects.using(alias()).raw(sql, parameters))
    for execution in rows:
        execution.claimed_at = _moment(execution.claimed_at)
    return rows


def find_all_claimed(*, worker: str) -> list[SagaExecution]:
    """The executions that a `claim_due` whose answer got lost did take; `worker` must be a name of its own."""
    rows: Any = SagaExecution.objects.using(alias()).in_hand().filter(worker=worker)
    return list(rows.annotate(claimed_at=CLOCK.now()))


def due_in(within: float, saga_names: Sequence[str]) -> float:
    """Seconds until the next execution of these sagas is due, 0.0 if one is, at most `within`."""
    here, names = connection(), list(saga_names)
    soon = [round(within, 3), names if here.vendor == "postgresql" else dumps(names)]
    due_at, now = _execute(here, _sql(_next_template(here.vendor), here.vendor), soon * len(Priority))
    return max(0.0, (_moment(due_at) - _moment(now)).total_seconds()) if due_at else within


def most_connections() -> int:
    """How many connections PostgreSQL allows to those who are not its superusers."""
    row = _execute(connection(), MOST_CONNECTIONS, [])
    return int(row[0])


def wake_workers() -> None:
    """Tell the workers, once the transaction commits, that something is due; on SQLite they see each commit."""
    here = connection()
    if here.vendor == "postgresql" and get_settings().NOTIFY:
        _execute(here, WAKE, [CHANNEL])


def mark(pk: int, version: int, *, begun: bool | None, pivoting: bool) -> bool:
    """Put down that an attempt begins; False = a request came first, or the lease is lost."""
    return persist(lambda: _one(MARK, [begun, pivoting, pk, version])) is not None


def renew(leases: Sequence[tuple[int, int]], *, lease: float) -> set[int]:
    """Renew (id, version) pairs; the ids that were renewed."""
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
        return {row[0] for row in cursor.fetchall()}


def expire(pk: int, version: int) -> None:
    """Let our lease run out now; whoever claims the row takes it over as from a dead owner."""
    persist(lambda: _one(EXPIRE, [pk, version]))


def checkpoint(execution: SagaExecution, position: Position, run: StepRun | None) -> Moved | None:
    """Write the position and, with it, the attempt that led there; None = the row is not ours, or is wanted."""
    here = connection()
    guarded = position.leaves or position.unless_wanted
    sql = _sql(_position_template(leaves=position.leaves, guarded=guarded), here.vendor)
    parameters = _position_values(execution, position, guarded=guarded)
    if run is None:
        row = _execute(here, sql, parameters)
    elif here.vendor == "postgresql":
        filing = _filed_sql(sql, leaves=position.leaves)
        row = _execute(here, filing, [*parameters, *_run_values(here, run)])
    else:
        row = _two_statements(here, sql, parameters, run)
    return Moved(row[1], row[2], *map(_moment, row[3:])) if row else None


def filed(pk: int, run_id: uuid.UUID) -> Moved | None:
    """What the checkpoint that stored this step run would have given back; None if it was not stored."""
    sequence = StepRun.objects.using(alias()).filter(pk=run_id).values_list("sequence", flat=True).first()
    if sequence is None:
        return None
    rows = SagaExecution.objects.using(alias()).filter(pk=pk, version=sequence)
    return Moved(sequence, *(rows.values_list("wants", "due_at", "finished_at").first() or ()))


def find_moved(execution: SagaExecution) -> Moved | None:
    """What a checkpoint without a step run would have given back: only its owner raises the version of a leased row."""
    version = execution.version + 1
    rows = SagaExecution.objects.using(alias()).filter(pk=execution.pk, version=version, worker=execution.worker)
    found = rows.values_list("wants", "due_at", "finished_at").first()
    return Moved(version, *found) if found else None


def wants_of(execution: SagaExecution) -> str | None:
    """What an operator asks of the row, if it is still at our version; "" = it is not ours any more."""
    rows = SagaExecution.objects.using(alias()).filter(pk=execution.pk, version=execution.version)
    found = rows.values_list("wants", flat=True)[:1]
    return next(iter(found), "")


def file_references(execution: SagaExecution, keys: Sequence[str], context: dict[str, Any]) -> None:
    """Make the execution findable by the values of these context keys."""
    SagaReference.objects.using(alias()).bulk_create(
        [
            SagaReference(execution_id=execution.pk, key=key[:64], value=fold(context[key]))
            for key in keys
            if isinstance(context.get(key), (str, int)) and str(context[key]).strip()
        ],
        ignore_conflicts=True,
    )


def _claim(vendor: str, count: int, saga_names: list[str], deaths: tuple[int, int]) -> tuple[str, list[Any]]:
    """The claim's statement, and the parameters that say whom to take."""
    sql = _sql(_claim_template(vendor, suspects=deaths[0] > 0), vendor)
    whom = [saga_names if vendor == "postgresql" else dumps(saga_names), *deaths, count]
    return sql, whom if deaths[0] > 0 else [*whom * len(Priority), count]


@cache
def _claim_template(vendor: str, *, suspects: bool) -> str:
    which = FIRST_SUSPECTS if suspects else FIRST_DUE.replace("{of_each}", _of_each(OF_ONE_PRIORITY))
    return _worded(CLAIM_DUE[vendor].replace("{which}", which), vendor)


@cache
def _next_template(vendor: str) -> str:
    return _worded(NEXT_DUE.replace("{of_each}", _of_each(NEXT_OF_ONE_PRIORITY)), vendor)


def _of_each(of_one_priority: str) -> str:
    return "UNION ALL".join(of_one_priority.replace("{priority}", str(priority.value)) for priority in Priority)


def _worded(template: str, vendor: str) -> str:
    for name, words in WORDS[vendor].items():
        template = template.replace(f"{{{name}}}", words)
    return template


def _two_statements(here: BaseDatabaseWrapper, sql: str, parameters: list[Any], run: StepRun) -> Any:
    with in_turn(here), transaction.atomic(using=here.alias):
        row = _execute(here, sql, parameters)
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
        position.compensation_performed, int(position.keep_recoveries), position.begun, position.pivoting,
        position.obeyed,
    ]  # fmt: skip
    if position.leaves:
        parameters += [*_due(position.due_in, execution.priority), position.finished]
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


def _due(seconds: float | None, priority: int) -> list[float | None]:
    """The parameters of due_at and rank_at."""
    if seconds is None:
        return [None, None]
    return [round(seconds, 3), round(seconds - int(priority) * get_settings().AGEING, 3)]


def _sql(template: str, vendor: str) -> str:
    return _timed_sql(template, vendor, CLOCK.ahead)


@lru_cache(maxsize=200)
def _timed_sql(template: str, vendor: str, ahead: float) -> str:  # noqa: ARG001  (it is a key of the cache)
    """By how far ahead the clock is, too, which in production is nothing."""
    whole = template.replace("{taken}", TAKEN).replace("{deaths}", DEATHS)
    for name, words in CLOCK.sql(vendor).items():
        whole = whole.replace(f"{{{name}}}", words)
    return whole


def _one(template: str, parameters: Sequence[Any]) -> Any:
    here = connection()
    return _execute(here, _sql(template, here.vendor), parameters)


def _execute(here: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> Any:
    with here.cursor() as cursor:
        if here.vendor == "postgresql":
            _let_prepare(here, cursor)
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()  # to its end: SQLite commits an UPDATE … RETURNING only then
    return rows[0] if rows else None


def _let_prepare(here: BaseDatabaseWrapper, cursor: Any) -> None:
    """Where OPTIONS has a `prepare_threshold`, let the server keep its plans of the few statements made here.

    Django's cursor writes the parameters into the statement, so that no two are alike; planning a checkpoint
    anew costs the server more than carrying it out.
    """
    if here.connection.prepare_threshold is not None:
        from psycopg import Cursor

        cursor.cursor = Cursor(here.connection)


def _moment(value: Any) -> Any:
    """A time from a raw row, aware; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
