"""Prometheus metrics of executions and workers."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Sum
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sagas.models import SagaExecution, SagaWorker
from sagas.models.querysets import ago
from sagas.storage import database


def registry() -> CollectorRegistry:
    """Return a registry that queries the database at each collection."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Executions())
    return found


class Executions(Collector):
    """Collects numbers from the whole database. Scrape only one web process, because all return the same numbers."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        executions = SagaExecution.objects.using(database.alias())
        family = GaugeMetricFamily("sagas_executions", "Executions by saga and state", labels=["saga", "state"])
        by_state = executions.order_by().values_list("saga_name", "state").annotate(count=Count("id"))
        for saga, state, count in by_state:
            family.add_metric([saga, state], count)
        yield family
        attention, due = executions.needing_attention().count(), executions.due().count()
        yield GaugeMetricFamily("sagas_needs_attention", "Executions that need attention", value=attention)
        yield GaugeMetricFamily("sagas_due", "Executions that a worker could claim now", value=due)
        by_due_time = executions.due().annotate(now=ago(0)).order_by("due_at")
        first = by_due_time.values_list("due_at", "now").first()
        waited = (first[1] - first[0]).total_seconds() if first else 0.0
        yield GaugeMetricFamily("sagas_due_seconds", "Seconds since the first of them became due", value=waited)
        alive = SagaWorker.objects.using(database.alias()).filter(seen_at__gte=ago(SagaWorker.UNSEEN))
        of = alive.aggregate(count=Count("id"), running=Sum("running"), free=Sum("free"), stuck=Sum("stuck"))
        yield GaugeMetricFamily("sagas_workers", "Running worker processes", value=of["count"])
        for name, says in (("running", "executions"), ("free", "free threads"), ("stuck", "stuck threads")):
            yield GaugeMetricFamily(f"sagas_worker_threads_{name}", f"Of all workers: {says}", value=of[name] or 0)
