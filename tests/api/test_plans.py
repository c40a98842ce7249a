"""The database's query plans show that lists read few rows, however many executions there are."""

import datetime as dt

import pytest
from django.db import connection

from sagas.models import SagaExecution, SagaReference
from sagas.models.querysets import normalize_reference
from tests.support.query_plans import rows_read, scans, statements_of

from .conftest import EXECUTIONS

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 20_000
RARE = 2_000  # one in RARE executions matches every rare filter
FEW = 200
QUICK = (
    "USING INDEX sagas_execution_",
    "USING COVERING INDEX sagas_execution_",
    "USING COVERING INDEX sqlite_autoindex_sagas_execution_1 (saga_id=?)",
    "USING INTEGER PRIMARY KEY (rowid=?)",
)
QUERIES = {
    "": "everything",
    "?ordering=created_at": "oldest first",
    "?state=failed": "a state",
    "?state=failed&state=partially_compensated": "two states",
    "?state=succeeded": "the most frequent state",
    "?saga=rare": "a saga",
    "?needs_attention=true": "needs attention",
    "?needs_attention=false": "needs no attention",
    "?created_after=2026-01-01T00:00:00Z&created_before=2026-01-01T06:00:00Z": "a morning",
    "?search=rare@example.com": "a reference",
    "?search=x-4000": "an id",
    "?search=nothing": "no match",
    "?saga=rare&state=failed&needs_attention=true&search=rare@example.com": "all at once",
}


@pytest.fixture
def many(ana, bia):
    """Create executions of two clients, one each minute."""
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = []
    for number in range(ROWS):
        rare = number % RARE == 0
        rows.append(
            SagaExecution(
                saga_id=f"x-{number}",
                saga_name="rare" if rare else "order",
                state="failed" if rare else "succeeded",
                needs_attention=rare,
                owner=bia.user if rare else ana.user,
                created_at=first + dt.timedelta(minutes=number),
            )
        )
    made = SagaExecution.objects.bulk_create(rows, batch_size=2000)
    SagaReference.objects.bulk_create(
        [
            SagaReference(
                execution=row,
                key="email",
                value=normalize_reference("rare@example.com" if row.needs_attention else f"{row.pk}@x.org"),
            )
            for row in made
        ],
        batch_size=2000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.mark.prove
def test_every_list_of_every_client_reads_few_rows(many, bia, support):
    for client in (bia, support):
        for query in QUERIES:
            for sql, parameters in statements_of(lambda url=f"{EXECUTIONS}{query}", who=client: who.get(url)):
                if connection.vendor == "postgresql":
                    assert rows_read(sql, parameters) <= FEW, (query, sql)
                else:
                    assert scans(sql, parameters, QUICK) == [], (query, sql)


@pytest.mark.prove
def test_the_last_page_reads_no_more_than_the_first(many, support):
    page = support.get(f"{EXECUTIONS}?ordering=created_at").json()
    url = support.get(page["next"]).json()["previous"]

    for sql, parameters in statements_of(lambda: support.get(url)):
        if connection.vendor == "postgresql":
            assert rows_read(sql, parameters) <= FEW, sql
        else:
            assert scans(sql, parameters, QUICK) == [], sql
