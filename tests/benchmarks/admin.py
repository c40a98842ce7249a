"""Measure the time and the number of queries of each admin page, with a million executions."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks import seed

LOOKS = 40
LIST = "/admin/sagas/sagaexecution/"
PAGES = {
    "an empty page of the admin": "/admin/password_change/",
    "home, counting": "/admin/sagas/operations/",
    "list, first page": LIST,
    "list, page 20": f"{LIST}?p=20",
    "list, page 200": f"{LIST}?p=200",
    "list, oldest first": f"{LIST}?o=4",
    "by state: failed": f"{LIST}?state=failed",
    "by state: succeeded": f"{LIST}?state=succeeded",
    "by state: two": f"{LIST}?state=failed&state=partially_compensated",
    "by state: compensating": f"{LIST}?state=compensating",
    "by attention": f"{LIST}?needs_attention=yes",
    "by no attention": f"{LIST}?needs_attention=no",
    "by what goes on: in doubt": f"{LIST}?now=in_doubt",
    "by what goes on: undoing": f"{LIST}?now=compensating",
    "by what goes on: waiting": f"{LIST}?now=waiting",
    "by what goes on: running": f"{LIST}?now=running",
    "by saga": f"{LIST}?saga=create_booking",
    "by saga: unknown": f"{LIST}?saga=nothing",
    "by failed step": f"{LIST}?failed_step=send_receipt",
    "by error: frequent": f"{LIST}?error=StepFailed",
    "by error: of one run in a hundred": f"{LIST}?error=KeyError",
    "by error: unknown": f"{LIST}?error=Nothing",
    "by held": f"{LIST}?held=yes",
    "by priority: high": f"{LIST}?priority=2",
    "by priority: normal": f"{LIST}?priority=1",
    "by end: last 24 h": f"{LIST}?ended=day",
    "by many": f"{LIST}?ended=day&state=failed&saga=create_booking&failed_step=add_calendar",
    "by year": f"{LIST}?created_at__year={{year}}",
    "by month": f"{LIST}?created_at__year={{year}}&created_at__month={{month}}",
    "by day": f"{LIST}?created_at__year={{year}}&created_at__month={{month}}&created_at__day={{day}}",
    "search: e-mail": f"{LIST}?q=Customer{{email}}@example.com",
    "search: sale": f"{LIST}?q=SALE-{{number}}",
    "search: provider's reference": f"{LIST}?q={{reference}}",
    "search: nothing": f"{LIST}?q=nobody@example.com",
    "case file": f"{LIST}{{pk}}/change/",
}


def measure_admin() -> dict[str, Any]:
    """Return milliseconds and queries of each page, for a superuser and with an empty cache.

    Return nothing on SQLite: a site with a million executions uses PostgreSQL.
    """
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client

    if connection.vendor != "postgresql":
        return {}
    settings.ALLOWED_HOSTS = ["testserver"]
    began = time.perf_counter()
    seed.seed()
    seeded = time.perf_counter() - began
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("bench"))
    known = _somebody()

    def look(url: str) -> None:
        cache.clear()
        response = client.get(url, secure=True)
        if response.status_code != 200 and "/change/" not in response.get("Location", ""):
            raise SystemExit(f"{url}: {response.status_code}")

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    pages = {name: _measured(lambda url=url: look(url.format(**known))) for name, url in PAGES.items()}
    return {"seeded_in": round(seeded, 1), "rows": seed.shape(), "pages": {"SELECT 1": _measured(ask), **pages}}


def _somebody() -> dict[str, Any]:
    """Return the values for the pages' URLs, from an execution in the middle of the table."""
    from sagas.models import SagaExecution, SagaReference

    execution = SagaExecution.objects.get(saga_id=f"sale-{seed.EXECUTIONS // 2}")
    at = execution.created_at
    number = int(execution.saga_id.removeprefix("sale-"))
    reference = SagaReference.objects.get(execution=execution, value__startswith="pi_").value
    about = {"number": number, "email": number // 3, "reference": reference, "pk": execution.pk}
    return about | {"year": at.year, "month": at.month, "day": at.day}


def _measured(look: Callable[[], Any]) -> dict[str, float]:
    from django.db import connection

    asked = []

    def watch(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        asked.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        look()
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        times.append((time.perf_counter() - began) * 1000)
    p95 = sorted(times)[int(LOOKS * 0.95) - 1]
    return {"p50": round(statistics.median(times), 2), "p95": round(p95, 2), "queries": len(asked)}
