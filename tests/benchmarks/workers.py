"""Measure a cluster of workers: sagas per second, CPU time per saga, and the time from start to end.

The cluster is `manage.py qcluster` with two sagas of tests.worker.strange: four empty steps, and four steps that wait
50 ms each.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKERS = 2
NOOPS, NOOP_THREADS = 2000, 8
NAPS, NAP_THREADS, NAP_SECONDS = 640, 16, 4 * 0.05
IDLE = 40
PATIENCE = 120.0


def measure_workers() -> dict[str, Any]:
    """Measure throughput, CPU of cluster and server, latency of an idle cluster, and throughput of steps that wait."""
    from tests.worker.strange import sagas  # noqa: F401  (registers the sagas in this process)

    with _cluster(NOOP_THREADS):
        idle = sorted(_start_to_end() for _ in range(IDLE))
        noops = _drain("noop", NOOPS)
    with _cluster(NAP_THREADS):
        naps = _drain("naps", NAPS)
    ideal = WORKERS * NAP_THREADS / NAP_SECONDS
    return {
        "per_second": round(noops["per_second"], 1),
        "cpu": noops["cpu"],
        "server": noops["server"],
        "idle_p50": _ms(statistics.median(idle)),
        "idle_p95": _ms(idle[int(len(idle) * 0.95)]),
        "naps_per_second": round(naps["per_second"], 1),
        "naps_of_ideal": round(naps["per_second"] / ideal, 3),
    }


@contextmanager
def _cluster(threads: int) -> Iterator[None]:
    """Run a cluster in its own process group; yield when all its workers have reported."""
    import json

    from sagas.models import SagaWorker
    from tests.support.processes import url_of

    environment = os.environ | {
        "DATABASE_URL": url_of("default"),
        "SANDBOX_DATABASE_URL": url_of("sandbox"),
        "DJANGO_SETTINGS_MODULE": "tests.worker.settings",
        "SAGAS_SETTINGS": json.dumps({"WORKER_THREADS": threads}),
        "STRANGE_CLUSTER": json.dumps({"workers": WORKERS, "queue_limit": WORKERS}),
        "SAGAS_LOG_LEVEL": "ERROR",
    }
    # Write the cluster's output to stderr, which the caller prints if the measurement fails.
    command = [sys.executable, "-m", "django", "qcluster"]
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)
    try:
        _until(lambda: SagaWorker.objects.filter(process_group=process.pid).count() == WORKERS)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _start_to_end() -> float:
    """Return the seconds from `start` until the end is visible, on an idle cluster."""
    from sagas.models import SagaExecution
    from sagas.orchestrator import get_saga_orchestrator

    time.sleep(0.05)  # lets the cluster become idle again
    began = time.perf_counter()
    pk = get_saga_orchestrator().start(None, "noop").pk
    _until(lambda: SagaExecution.objects.filter(pk=pk, state="succeeded").exists())
    return time.perf_counter() - began


def _drain(saga: str, count: int) -> dict[str, Any]:
    """Commit `count` due executions at once; measure until the last one has ended."""
    from django.db import transaction

    from sagas.models import SagaExecution
    from sagas.orchestrator import get_saga_orchestrator

    with transaction.atomic():
        for number in range(count):
            get_saga_orchestrator().start(f"queued-{saga}-{number}", saga)
        ours, server = _cpu_of_cluster(), _cpu_of_server()
    began = time.perf_counter()
    queued = SagaExecution.objects.filter(saga_name=saga, saga_id__startswith=f"queued-{saga}-")
    # An index answers whether executions are left. A count of ended executions would cost as much as running them.
    _until(lambda: not queued.unfinished().exists(), pause=0.01)
    wall = time.perf_counter() - began
    succeeded = queued.in_state("succeeded").count()
    if succeeded != count:
        raise SystemExit(f"Of {count} sagas {succeeded} succeeded.")
    spent = None if server is None else (_cpu_of_server() or 0.0) - server
    return {
        "per_second": count / wall,
        "cpu": _ms((_cpu_of_cluster() - ours) / count),
        "server": None if spent is None else _ms(spent / count),
    }


def _cpu_of_cluster() -> float:
    from sagas.models import SagaWorker
    from sagas.worker.supervision.processes import parents_in_group

    group = SagaWorker.objects.latest("id").process_group
    return sum(_cpu_of(pid) for pid in parents_in_group(group))


def _cpu_of_server() -> float | None:
    """Return the CPU seconds of this database's server processes, or None without a server."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        pids = [row[0] for row in cursor.fetchall()]
    return sum(_cpu_of(pid) for pid in pids)


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of all threads of the process (proc(5): utime and stime), or 0.0 without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _until(condition: Any, pause: float = 0.002) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise SystemExit(f"It did not happen within {PATIENCE:g} s.")
        time.sleep(pause)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
