"""Prometheus metrics of executions and workers."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count, Sum
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sagas.models import SagaExecution, SagaWorker
from sagas.models.querysets import ago
from sagas.storage import database


def registry() -> CollectorRegistry:
    """Return a registry that queries the database when it is collected."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Executions())
    return found


class Executions(Collector):
    """Current numbers of the whole database: scrape only one web process."""

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        yield from (_by_state(), _attention(), _due(), _waited(), *_workers())


def _by_state() -> Metric:
    family = GaugeMetricFamily("sagas_executions", "Executions by saga and state", labels=["saga", "state"])
    rows = SagaExecution.objects.using(database.alias()).order_by().values_list("saga_name", "state")
    for saga, state, count in rows.annotate(count=Count("id")):
        family.add_metric([saga, state], count)
    return family


def _attention() -> Metric:
    count = SagaExecution.objects.using(database.alias()).needing_attention().count()
    return GaugeMetricFamily("sagas_needs_attention", "Executions that need attention", value=count)


def _due() -> Metric:
    count = SagaExecution.objects.using(database.alias()).due().count()
    return GaugeMetricFamily("sagas_due", "Executions that a worker could claim now", value=count)


def _waited() -> Metric:
    rows = SagaExecution.objects.using(database.alias()).due().annotate(now=ago(0))
    first = rows.order_by("due_at").values_list("due_at", "now").first()
    seconds = (first[1] - first[0]).total_seconds() if first else 0.0
    return GaugeMetricFamily("sagas_due_seconds", "Seconds since the first of them became due", value=seconds)


def _workers() -> Iterable[Metric]:
    alive = SagaWorker.objects.using(database.alias()).filter(seen_at__gte=ago(SagaWorker.UNSEEN))
    of = alive.aggregate(count=Count("id"), running=Sum("running"), free=Sum("free"), stuck=Sum("stuck"))
    yield GaugeMetricFamily("sagas_workers", "Running worker processes", value=of["count"])
    for name, says in (("running", "executions"), ("free", "free threads"), ("stuck", "stuck threads")):
        yield GaugeMetricFamily(f"sagas_worker_threads_{name}", f"Of all workers: {says}", value=of[name] or 0)
