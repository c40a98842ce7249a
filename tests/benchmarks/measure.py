"""Measure on the database of DATABASE_URL and print one JSON object; `python -m tests.benchmarks` runs this module."""

import json
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

PARTS = ("engine", "workers", "api", "admin")
BATCHES, BATCH = 12, 25
SAMPLES = 50
CONCURRENT = 100
IN_SEQUENCE = 1000
PAYLOAD = {"sale_id": "SALE-001", "amount": "420.00"}
BOOKING = {
    "customer_name": "Ana Souza",
    "customer_email": "customer@example.com",
    "customer_phone": "+5511987654321",
    "customer_document": "529.982.247-25",
    "description": "City tour",
    "amount": "420.00",
    "starts_at": "2026-12-01T10:00:00-03:00",
    "ends_at": "2026-12-01T12:00:00-03:00",
}
PAYMENT = {
    "customer_name": "Ana Souza",
    "customer_email": "customer@example.com",
    "amount": "420.00",
    "payment_method": "pm_card_visa",
    "description": "City tour",
}


def main() -> int:
    """Measure in newly created test databases, and delete them afterwards."""
    warnings.simplefilter("ignore")
    django.setup()
    from django.db import connections
    from django.test.utils import setup_databases, teardown_databases

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        json.dump(measure(sys.argv[1:] or PARTS), sys.stdout)
    finally:
        # On PostgreSQL, both aliases use one database. Django closes only one connection before it drops the database.
        connections.close_all()
        teardown_databases(databases, verbosity=0)
    return 0


def measure(parts: Sequence[str]) -> dict[str, Any]:
    """Measure these parts on one database; times are in milliseconds."""
    from django.db import connections

    from tests.benchmarks.admin import measure_admin
    from tests.benchmarks.api import measure_api
    from tests.benchmarks.workers import measure_workers

    connections["default"].ensure_connection()
    measured = {"engine": measure_engine, "workers": measure_workers, "api": measure_api, "admin": measure_admin}
    return {"database": connections["default"].vendor, **{part: measured[part]() for part in parts}}


def measure_engine() -> dict[str, Any]:
    """Measure sagas that run in this process."""
    return {
        "noop": measure_noop(),
        "booking": per_saga(book, SAMPLES),
        "payment": per_saga(pay, SAMPLES),
        "undos": measure_undos(),
        "concurrent": measure_concurrent(),
        "sequence": measure_sequence(),
    }


def measure_noop() -> dict[str, Any]:
    """Measure a saga of four empty steps and the floor alternately, so that both run under the same load."""
    from django.db import connections

    from sagas.engine.leased_execution import worker_name
    from tests.benchmarks.clocks import Spent
    from tests.benchmarks.floor import FLOORS, Rows

    here = connections["default"]
    saga, floor = noop_saga(), FLOORS[here.vendor](here.settings_dict)
    backends = [here.connection.info.backend_pid] if here.vendor == "postgresql" else []
    names = list(saga.names)

    def run_saga(number: int) -> None:
        assert execute(f"noop-{number}", saga, PAYLOAD).state.value == "succeeded"

    def run_floor(number: int) -> None:
        floor.write(Rows(f"floor-{number}", saga.name, names, PAYLOAD, worker_name()))

    for number in range(20):
        run_saga(-number)
        run_floor(-number)
    sagas, floors = [], []
    for batch in range(1, BATCHES + 1):
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        floors.append(Spent(lambda: [run_floor(n) for n in numbers], floor.backends))  # noqa: B023 - called at once
        sagas.append(Spent(lambda: [run_saga(n) for n in numbers], backends))  # noqa: B023 - called at once
    floor.close()
    return {"saga": _per_run(sagas), "floor": _per_run(floors)}


def noop_saga() -> Any:
    """Return a saga with four idempotent steps and no references."""
    from sagas import Saga, SagaStep

    return Saga("noop", [SagaStep(name, lambda context: None) for name in ("one", "two", "three", "four")])


def execute(saga_id: str, saga: Any, payload: dict[str, Any]) -> Any:
    """Run the saga in this process."""
    from sagas.orchestrator import get_saga_orchestrator

    return get_saga_orchestrator().execute(saga_id, saga.name, saga, payload)


def book(saga_id: str) -> Any:
    """Run a booking for a new sale."""
    from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA

    return _succeeded(execute(saga_id, CREATE_BOOKING_SAGA, BOOKING | {"sale_id": saga_id}))


def pay(saga_id: str) -> Any:
    """Run a payment for a new sale."""
    from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA

    return _succeeded(execute(saga_id, COLLECT_PAYMENT_SAGA, PAYMENT | {"sale_id": saga_id}))


def per_saga(run: Callable[[str], Any], count: int) -> dict[str, float]:
    """Run `count` sagas one after the other; return the median wall time and the mean CPU time of a saga."""
    run(f"{run.__name__}-warm")
    walls, cpu = [], time.process_time()
    for number in range(count):
        began = time.perf_counter()
        run(f"{run.__name__}-{number}")
        walls.append(time.perf_counter() - began)
    return {"wall": _ms(statistics.median(walls)), "cpu": _ms((time.process_time() - cpu) / count)}


def measure_undos() -> dict[str, float]:
    """Measure the time from the refusal of the fourth step to the end of the three compensations."""
    from integrations.models import FaultMode, SandboxFault
    from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA

    SandboxFault.objects.create(port="calendar", operation="add", mode=FaultMode.REFUSE, remaining=SAMPLES)
    walls, cpu = [], time.process_time()
    for number in range(SAMPLES):
        sale = f"undone-{number}"
        execution = execute(sale, CREATE_BOOKING_SAGA, BOOKING | {"sale_id": sale})
        runs = list(execution.step_executions)
        assert execution.state.value == "failed", execution.state
        assert [run.direction for run in runs[-3:]] == ["compensation"] * 3
        walls.append((execution.finished_at - runs[3].finished_at).total_seconds())
    SandboxFault.objects.all().delete()
    return {"wall": _ms(statistics.median(walls)), "cpu": _ms((time.process_time() - cpu) / SAMPLES)}


def measure_concurrent() -> dict[str, float]:
    """Start a hundred bookings at the same moment, each in a thread with its own connections."""
    from django.db import connections

    gate = threading.Barrier(CONCURRENT + 1)

    def run(number: int) -> float:
        gate.wait()
        began = time.perf_counter()
        try:
            book(f"concurrent-{number}")
        finally:
            connections.close_all()
        return time.perf_counter() - began

    with ThreadPoolExecutor(CONCURRENT) as pool:
        futures = [pool.submit(run, number) for number in range(CONCURRENT)]
        gate.wait()
        began, cpu = time.perf_counter(), time.process_time()
        longest = max(future.result() for future in futures)
        wall = time.perf_counter() - began
    cpu = time.process_time() - cpu
    return {"wall": _ms(wall / CONCURRENT), "cpu": _ms(cpu / CONCURRENT), "longest": _ms(longest)}


def measure_sequence() -> dict[str, float]:
    """Run a thousand bookings one after the other; compare the medians of both halves to see whether cost grows."""
    walls, cpus = [], []
    for number in range(IN_SEQUENCE):
        began, cpu = time.perf_counter(), time.process_time()
        book(f"sequence-{number}")
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
    return {
        "wall": _ms(statistics.mean(walls)),
        "cpu": _ms(statistics.mean(cpus)),
        "growth": _growth(walls),
        "cpu_growth": _growth(cpus),
    }


def _growth(values: list[float]) -> float:
    half = len(values) // 2
    return round(statistics.median(values[half:]) / statistics.median(values[:half]), 3)


def _succeeded(execution: Any) -> Any:
    assert execution.state.value == "succeeded", (execution.state, execution.failed_step, execution.held)
    return execution


def _per_run(batches: list[Any]) -> dict[str, float | None]:
    """Return the cost per run of the cheapest batch, because other load on the machine only makes batches slower."""

    def least(of: str) -> float | None:
        values = [getattr(batch, of) for batch in batches]
        return None if None in values else _ms(min(values) / BATCH)

    return {"cpu": least("cpu"), "wall": least("wall"), "server": least("server")}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


if __name__ == "__main__":
    sys.exit(main())
