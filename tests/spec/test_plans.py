"""What is asked again and again reads a few rows, however many wait or are due: asserted from the database's plans."""

import datetime as dt
import json
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from sagas import Saga, SagaStep, journal, registry
from sagas.models import SagaExecution
from sagas.worker.unknown import hold_what_nobody_knows

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 5_000
FEW = 100  # rows that one question may read
FIRST = 1000  # rows that are read to find what nobody knows
EXECUTIONS = SagaExecution.objects


def nothing(context):
    return None


@pytest.fixture(autouse=True)
def _known():
    registry.register(Saga("planned", [SagaStep("one", nothing)]))
    yield
    registry.unregister("planned")


def fill(*, seconds: float) -> None:
    """Many executions of NORMAL priority that will be due in so many seconds."""
    due = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    rank = due - dt.timedelta(seconds=600)
    rows = [
        SagaExecution(saga_id=f"x-{n}", saga_name="planned", plan=["one"], due_at=due, rank_at=rank)
        for n in range(ROWS)
    ]
    EXECUTIONS.bulk_create(rows, batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def claim(least: int, most: int) -> list[SagaExecution]:
    return journal.claim_due(8, list(registry.all_sagas()), worker="host:1:abc", lease=60, deaths=(least, most))


QUESTIONS = {
    "claim": (lambda: claim(0, 1), FEW),
    "claim of suspects": (lambda: claim(2, journal.MAX_DEATHS), FEW),
    "what was claimed": (lambda: journal.find_all_claimed(worker="host:1:abc"), FEW),
    "next due": (lambda: journal.due_in(1.0, list(registry.all_sagas())), FEW),
    "overdue": (lambda: EXECUTIONS.of_sagas(registry.all_sagas()).are_overdue(10), FEW),
    "known to nobody": (hold_what_nobody_knows, FIRST),
}


@pytest.mark.parametrize("seconds", [-100.0, 300.0], ids=["due", "waiting"])
@pytest.mark.parametrize(("question", "most"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_reads_a_few_rows_of_many(question, most, seconds):
    fill(seconds=seconds)

    asked = list(statements_of(question))

    assert asked
    for sql, parameters in asked:
        if connection.vendor == "postgresql":
            assert rows_read(sql, parameters) <= most, sql
        else:
            assert scans(sql, parameters) == [], sql


def statements_of(question) -> Iterator[tuple[str, object]]:
    """The statements about executions that it sends."""
    asked = []

    def watch(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        question()
    return ((sql, params) for sql, params in asked if "sagas_execution" in sql)


def rows_read(sql: str, parameters: object) -> int:
    """How many rows of executions PostgreSQL reads for it, those that it finds to be of no use among them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
        found = cursor.fetchone()[0]
        transaction.set_rollback(True)
    plan = json.loads(found) if isinstance(found, str) else found
    return sum(_rows_of(node) for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") == "sagas_execution")


def _nodes(node: dict) -> Iterator[dict]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _rows_of(node: dict) -> int:
    useless = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return round((node["Actual Rows"] + sum(node.get(key, 0) for key in useless)) * node["Actual Loops"])


def scans(sql: str, parameters: object) -> list[str]:
    """The steps of SQLite's plan that are not known to be quick: they may read all executions."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        steps = [row[3] for row in cursor.fetchall() if "sagas_execution" in row[3]]
    assert steps
    return [step for step in steps if not any(quick in step for quick in QUICK)]


QUICK = (
    "USING INDEX sagas_execution_due (priority=? AND due_at<?)",
    "USING INDEX sagas_execution_due (ANY(priority) AND due_at<?)",
    "USING INDEX sagas_execution_suspects",
    "USING INTEGER PRIMARY KEY (rowid=?)",
)
