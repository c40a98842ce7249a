"""Helpers that read the admin's pages and create bookings and executions for them."""

import datetime as dt

from django.db import connection
from django.utils import timezone

from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.support import html

LIST = "/admin/sagas/sagaexecution/"
BOOKING = {
    "sale_id": "SALE-001",
    "customer_name": "Ana Souza",
    "customer_email": "Ana.Souza@example.com",
    "customer_phone": "+5511987654321",
    "customer_document": "529.982.247-25",
    "description": "City tour",
    "amount": "420.00",
    "starts_at": "2030-12-01T10:00:00-03:00",
    "ends_at": "2030-12-01T12:00:00-03:00",
}
PERSONAL = ("Ana Souza", "ana.souza", "987654321", "982247", "982.247")


def ids_in(response):
    """Return the saga ids of the executions that the page links to, in the order of the page."""
    links = html.page_of(response).xpath('//a[contains(@href, "/sagaexecution/")]/@href')
    pks = [int(path.split("/")[-3]) for link in links if (path := link.partition("?")[0]).endswith("/change/")]
    ids = dict(SagaExecution.objects.values_list("pk", "saga_id"))
    return [ids[pk] for pk in pks]


def text_of(response):
    """Return the visible text of the whole page."""
    return html.text_of(response)


def line_of(response, saga_id):
    """Return the cells of the execution's row in the list."""
    pk = SagaExecution.objects.values_list("pk", flat=True).get(saga_id=saga_id)
    cells = f'//tr[.//a[contains(@href, "/{pk}/change/")]]/*[starts-with(@class, "field-")]'
    return html.texts(response, cells)


def book(saga_id="b-1", **differs):
    return get_saga_orchestrator().execute(saga_id, "create_booking", context=BOOKING | differs)


def count_questions(client, url):
    asked = []

    def watch(execute, sql, params, many, context):
        asked.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        client.get(url)
    return len(asked)


def fill(count):
    """Create `count` executions, one per minute; the newest is from now."""
    now = timezone.now()
    SagaExecution.objects.bulk_create(
        SagaExecution(saga_id=f"x-{n}", saga_name="trip", created_at=now - dt.timedelta(minutes=n))
        for n in range(count)
    )
