"""Many threads and processes start and execute sagas at the same time; none is lost, doubled or mixed up."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connections

from integrations.models import SandboxEffect
from sagaproject.bookings.models import Booking
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaConflict, SagaState
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, booking_input, payment_input
from tests.support.processes import exit_codes

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 16
PROCESSES = 4
STARTERS = 50
EACH = 2
SHARED = ["shared-a", "shared-b"]
SAGAS = [("create_booking", booking_input), ("collect_payment", payment_input)]
DEFINITIONS = {saga.name: saga for saga in (CREATE_BOOKING_SAGA, COLLECT_PAYMENT_SAGA)}


def at_once(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start all functions at the same time, one thread each, and return their results or exceptions."""
    gate = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        try:
            gate.wait(timeout=30)
            return function()
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def book_and_pay(name: str, *, queue: bool) -> list[SagaExecution]:
    """Execute a booking and then its payment. If `queue`, start each one for the workers first."""
    orchestrator, done = get_saga_orchestrator(), []
    for saga, given in SAGAS:
        if queue:
            orchestrator.start(f"{saga}-{name}", saga, context=given(name))
        done.append(orchestrator.execute(f"{saga}-{name}", saga, context=given(name)))
    return done


def work(worker: int) -> list[SagaExecution]:
    """Book and pay the sales of this worker only, and the sales that all workers share."""
    names = [*SHARED, *(f"{worker}-{number}" for number in range(EACH))]
    return [execution for name in names for execution in book_and_pay(name, queue=worker % 2 == 0)]


def assert_worked(workers: int) -> None:
    """Assert that every sale was booked once and paid once, with its own data."""
    names = {*SHARED, *(f"{worker}-{number}" for worker in range(workers) for number in range(EACH))}
    executions = list(SagaExecution.objects.all())
    assert Counter(e.saga_id for e in executions) == Counter(f"{saga}-{name}" for saga, _ in SAGAS for name in names)
    assert {execution.state for execution in executions} == {SagaState.SUCCEEDED}
    for execution in executions:
        saga, sale = execution.saga_name, execution.input["sale_id"]
        given = dict(SAGAS)[saga](execution.saga_id.removeprefix(f"{saga}-"))
        assert sale == execution.context["sale_id"] == given["sale_id"]
        # On a busy machine a step may time out and need a second attempt.
        assert list(dict.fromkeys(run.step for run in execution.step_executions)) == list(DEFINITIONS[saga].names)
        assert violations_of(DEFINITIONS[saga], execution.saga_id, SandboxProviders().effects(execution)) == []
    keys = Counter(SandboxEffect.objects.values_list("port", "operation", "idempotency_key"))
    assert {key: count for key, count in keys.items() if count > 1} == {}
    assert set(Booking.objects.values_list("status", "payment_status")) == {("confirmed", "paid")}
    assert Booking.objects.count() == len(names)


@pytest.mark.prove
def test_sixteen_threads_start_and_execute_at_once():
    results = at_once([partial(work, worker) for worker in range(THREADS)])

    assert [result for result in results if isinstance(result, Exception)] == []
    for executions in results:
        assert {execution.state for execution in executions} == {SagaState.SUCCEEDED}
    assert_worked(THREADS)


def work_in_threads(process: int) -> None:
    """Run this process's share of the workers, each in a thread."""
    count = THREADS // PROCESSES
    for result in at_once([partial(work, process * count + number) for number in range(count)]):
        if isinstance(result, Exception):
            raise result


def test_four_processes_of_four_threads_start_and_execute_at_once():
    assert exit_codes([partial(work_in_threads, process) for process in range(PROCESSES)]) == [0] * PROCESSES

    assert_worked(THREADS)


def test_fifty_threads_that_start_one_id_make_one_execution():
    start = partial(get_saga_orchestrator().start, "b-1", "create_booking", context=booking_input("1"))

    results = at_once([start] * STARTERS)

    stored = SagaExecution.objects.get()
    assert stored.state is SagaState.PENDING
    assert [getattr(result, "pk", result) for result in results] == [stored.pk] * STARTERS


def test_fifty_starts_of_one_id_with_two_inputs_make_one_execution():
    given = [booking_input("1"), booking_input("1") | {"amount": "421.00"}]
    starts = [partial(get_saga_orchestrator().start, "b-1", "create_booking", context=each) for each in given]

    results = at_once([starts[number % 2] for number in range(STARTERS)])

    stored = SagaExecution.objects.get()
    winner = [each["amount"] for each in given].index(stored.input["amount"])
    assert [getattr(result, "pk", result) for result in results[winner::2]] == [stored.pk] * (STARTERS // 2)
    assert [str(result) for result in results[1 - winner :: 2]] == [str(SagaConflict("b-1", "create_booking"))] * (
        STARTERS // 2
    )


def test_fifty_threads_that_execute_one_id_all_get_its_one_end():
    execute = partial(get_saga_orchestrator().execute, "b-1", "create_booking", context=booking_input("1"))

    results = at_once([execute] * STARTERS)

    stored = SagaExecution.objects.get()
    assert [(getattr(result, "pk", result), getattr(result, "state", "")) for result in results] == [
        (stored.pk, SagaState.SUCCEEDED)
    ] * STARTERS
    assert [run.step for run in stored.step_executions] == list(CREATE_BOOKING_SAGA.names)
