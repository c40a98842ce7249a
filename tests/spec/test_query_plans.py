"""Frequent queries read few rows, however many executions wait or are due. The database's query plans prove it."""

import datetime as dt

import pytest
from django.db import connection

from sagas import Saga, SagaStep, storage
from sagas.definition import registry
from sagas.models import SagaExecution
from sagas.worker.unregistered_sagas import hold_unregistered
from tests.support.query_plans import rows_read, scans, statements_of

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]

ROWS = 5_000
FEW = 100  # rows that one query may read
FIRST = 1000  # rows that a query may read to find sagas that are not registered
EXECUTIONS = SagaExecution.objects


def nothing(context):
    return None


@pytest.fixture(autouse=True)
def _known():
    registry.register(Saga("planned", [SagaStep("one", nothing)]))
    yield
    registry.unregister("planned")


def fill(*, seconds: float) -> None:
    """Insert many executions that are due in `seconds`."""
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
    return storage.claim_due(8, list(registry.all_sagas()), worker="host:1:abc", lease=60, recoveries=(least, most))


QUICK = (
    "USING INDEX sagas_execution_due (priority=? AND due_at<?)",
    "USING INDEX sagas_execution_due (ANY(priority) AND due_at<?)",
    "USING INDEX sagas_execution_suspects",
    "USING INTEGER PRIMARY KEY (rowid=?)",
)
QUESTIONS = {
    "claim": (lambda: claim(0, 1), FEW),
    "claim of suspects": (lambda: claim(2, storage.UNLIMITED_RECOVERIES), FEW),
    "what was claimed": (lambda: storage.find_all_claimed(worker="host:1:abc"), FEW),
    "next due": (lambda: storage.due_in(1.0, list(registry.all_sagas())), FEW),
    "overdue": (lambda: EXECUTIONS.of_sagas(registry.all_sagas()).are_overdue(10), FEW),
    "known to nobody": (hold_unregistered, FIRST),
}


@pytest.mark.parametrize("seconds", [-100.0, 300.0], ids=["due", "waiting"])
@pytest.mark.parametrize(("question", "most"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_query_reads_few_of_many_rows(question, most, seconds):
    fill(seconds=seconds)

    asked = list(statements_of(question))

    assert asked
    for sql, parameters in asked:
        if connection.vendor == "postgresql":
            assert rows_read(sql, parameters) <= most, sql
        else:
            assert scans(sql, parameters, QUICK) == [], sql
