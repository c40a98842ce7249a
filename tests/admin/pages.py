"""What tests of the admin read from its pages, and the bookings that stand on them."""

import datetime as dt
import html
import re

from django.db import connection
from django.utils import timezone

from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator

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
    """The saga ids of the cases that the page links to, in its order."""
    pks = [int(pk) for pk in re.findall(r'<a href="[^"]*/sagaexecution/(\d+)/change/', response.content.decode())]
    ids = dict(SagaExecution.objects.values_list("pk", "saga_id"))
    return [ids[pk] for pk in pks]


def text_of(response):
    """What a person reads, without tags, white space as one space."""
    body = re.sub(r"(?s)<(script|style).*?</\1>", " ", response.content.decode())
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def line_of(response, saga_id):
    """The cells of the execution's line."""
    pk = SagaExecution.objects.values_list("pk", flat=True).get(saga_id=saga_id)
    row = next(row for row in response.content.decode().split("<tr>") if f"/{pk}/change/" in row)
    cells = re.findall(r'(?s)<t[hd] class="field-[^"]*">(.*?)</t[hd]>', row.split("</tr>")[0])
    return [" ".join(html.unescape(re.sub(r"<[^>]*>", " ", cell)).split()) for cell in cells]


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
    """Executions a minute apart, the newest of them now."""
    now = timezone.now()
    SagaExecution.objects.bulk_create(
        SagaExecution(saga_id=f"x-{n}", saga_name="trip", created_at=now - dt.timedelta(minutes=n))
        for n in range(count)
    )
