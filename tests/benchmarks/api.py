"""Measure the API under load: lists of many executions, starts that wait for the end, and starts per second."""

import datetime as dt
import statistics
import time
from collections.abc import Callable
from typing import Any

ROWS, BATCH = 200_000, 5_000
LOOKS = 60
WAITING_SECONDS, LOAD_SECONDS = 10.0, 60.0
LISTS = {
    "everything": "",
    "a state": "?state=failed",
    "a saga": "?saga=rare",
    "needs attention": "?needs_attention=true",
    "a day": "?created_after=2026-01-02T00:00:00Z&created_before=2026-01-03T00:00:00Z",
    "a reference": "?search=199000@example.com",
}


def measure_api() -> dict[str, Any]:
    """Return times in milliseconds: lists through the test client in this process, the rest through gunicorn."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from rest_framework.authtoken.models import Token
    from rest_framework.test import APIClient

    user = get_user_model().objects.create_superuser("bench")
    token = Token.objects.create(user=user).key
    served = _measure_served(token)
    _fill(user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    with connection.cursor() as cursor:
        baseline = _p95(lambda: cursor.execute("SELECT 1"))
    lists = {name: _p95(lambda query=query: _look(client, query)) for name, query in LISTS.items()}
    return {"baseline": baseline, "lists": lists, **served}


def _measure_served(token: str) -> dict[str, Any]:
    from sagas.models import SagaExecution
    from tests.api.load import start_for
    from tests.api.sites import served, working
    from tests.support.processes import wait_for

    with served(workers=2) as site, working():
        waited = start_for(WAITING_SECONDS, site, token, prefer="wait=10", clients=1)
        ends = dict(SagaExecution.objects.values_list("saga_id", "finished_at"))
        late = sorted((answer.received_at - ends[answer.saga_id]).total_seconds() * 1000 for answer in waited)
        answers = start_for(LOAD_SECONDS, site, token)
        wait_for(lambda: not SagaExecution.objects.unfinished().exists())
    if {answer.status for answer in waited} != {201} or {answer.status for answer in answers} != {202}:
        raise SystemExit("Not every start was answered as it should.")
    return {
        "after_the_end_p50": round(statistics.median(late), 2),
        "after_the_end_p95": round(late[int(len(late) * 0.95)], 2),
        "starts_per_second": round(len(answers) / LOAD_SECONDS, 1),
    }


def _fill(owner: Any) -> None:
    """Create one execution per second of simulated time; one in a thousand is a failed execution of a rare saga."""
    from django.db import connection

    from sagas.models import SagaExecution, SagaReference

    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for start in range(0, ROWS, BATCH):
        numbers = range(start, start + BATCH)
        made = SagaExecution.objects.bulk_create(
            SagaExecution(
                saga_id=f"filled-{number}",
                saga_name="order" if number % 1000 else "rare",
                state="succeeded" if number % 1000 else "failed",
                needs_attention=not number % 1000,
                owner=owner,
                created_at=first + dt.timedelta(seconds=number),
            )
            for number in numbers
        )
        references = zip(made, numbers, strict=True)
        SagaReference.objects.bulk_create(
            SagaReference(execution=row, key="email", value=f"{number}@example.com") for row, number in references
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _look(client: Any, query: str) -> None:
    response = client.get(f"/api/v1/executions/{query}", secure=True)
    if response.status_code != 200:
        raise SystemExit(response.content.decode())


def _p95(look: Callable[[], Any]) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        times.append(time.perf_counter() - began)
    return round(sorted(times)[int(LOOKS * 0.95)] * 1000, 3)
