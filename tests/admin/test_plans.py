"""The database's query plans show that the lists and the home page read few of many executions."""

import datetime as dt

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from sagas.models import SagaExecution, SagaReference, StepRun
from tests.support.query_plans import rows_read, scans, statements_of

from .pages import LIST

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 20_000
RARE = 2_000  # one in RARE executions matches the rare filters
FEW = 1_200  # the rows of a page and the rows that are counted
QUICK = (
    "USING INDEX sagas_execution_",
    "USING COVERING INDEX sagas_execution_",
    "USING COVERING INDEX sqlite_autoindex_sagas_execution_1 (saga_id=?)",
    "USING INTEGER PRIMARY KEY (rowid=?)",
    "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
)
QUERIES = {
    "": "everything",
    "p=20": "a page far down",
    "o=4": "oldest first",
    "state=failed": "a state",
    "state=succeeded": "what most are",
    "state=failed&state=partially_compensated": "two states",
    "needs_attention=yes": "what needs attention",
    "now=in_doubt": "what is in doubt",
    "now=compensating": "what is being undone",
    "now=waiting": "what waits",
    "now=running": "what runs",
    "saga=rare": "a saga",
    "failed_step=rare": "a failed step",
    "error=RareError": "an error",
    "error=NoSuchError": "an error that there is not",
    "held=yes": "what is held",
    "priority=2": "a priority",
    "ended=day": "what has ended lately",
    "stranded=pack": "what today's code cannot go on with",
    "created_at__year=2026&created_at__month=1&created_at__day=2": "a day",
    "q=rare@example.com": "a reference",
    "q=x-4000": "an id",
    "q=nothing": "what is not there",
}


@pytest.fixture
def many(db):
    """Create executions, one per minute; a few match the rare filters, and hardly any has ended recently."""
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = SagaExecution.objects.bulk_create(
        [_row(number, first + dt.timedelta(minutes=number)) for number in range(ROWS)], batch_size=2000
    )
    rare = [row for row in made if row.needs_attention]
    SagaReference.objects.bulk_create(
        [
            SagaReference(execution=row, key="email", value="rare@example.com" if row in rare else f"{row.pk}@x.org")
            for row in made
        ],
        batch_size=2000,
    )
    StepRun.objects.bulk_create(_run(row) for row in rare)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _row(number, created_at):
    rare = number % RARE == 0
    return SagaExecution(
        saga_id=f"x-{number}",
        saga_name="rare" if rare else "order",
        state="failed" if rare else "succeeded",
        needs_attention=rare,
        failed_step="rare" if rare else "",
        priority=2 if rare else 1,
        created_at=created_at,
        finished_at=timezone.now() if rare else created_at,
    )


def _run(execution):
    return StepRun(
        execution=execution,
        step="rare",
        direction="action",
        run=1,
        attempt=1,
        outcome="uncertain",
        error_type="RareError",
        ending="spent",
        started_at=execution.created_at,
        finished_at=execution.created_at,
        sequence=1,
    )


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("everybody"))
    return client


def test_each_list_reads_few_rows(many, client):
    for query in QUERIES:
        _reads_few(client, f"{LIST}?{query}", FEW)


def test_the_home_reads_few_rows(many, client):
    _reads_few(client, "/admin/sagas/operations/", FEW)


def _reads_few(client, url, most):
    def look():
        cache.clear()
        assert client.get(url).status_code in (200, 302), url

    for sql, parameters in statements_of(look):
        if connection.vendor == "postgresql":
            assert rows_read(sql, parameters) <= most, (url, sql)
        else:
            assert scans(sql, parameters, QUICK) == [], (url, sql)
