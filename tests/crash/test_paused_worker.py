"""Trap 4: a process pauses during a call until its lease expires, another process finishes, the first resumes."""

import os
import signal

import pytest
from django.db import connection

from integrations import ledger
from integrations.models import SandboxEffect
from integrations.sandbox import probes
from sagaproject.bookings.models import Booking, Invoice
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA
from sagas import Saga, SagaState, SagaStep
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, payment_input
from tests.support.processes import exit_code, forked, stop_here, wait_until_stopped

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_lease")]

SAGA_ID = "paused"


def pay():
    return get_saga_orchestrator().execute(SAGA_ID, "collect_payment", context=payment_input(SAGA_ID))


def pay_and_pause_once(moment, port, operation):
    """Start a child process that pauses itself once, at that moment of that provider call."""

    def pause(*called):
        if called[:3] == (moment, port, operation):
            probes.clear()
            stop_here()

    def run():
        probes.append(pause)
        pay()

    return forked(run)


def rows(*models):
    return [list(model.objects.order_by("pk").values()) for model in models]


def saga_rows():
    return rows(SagaExecution, StepRun, SagaEvent, Booking, Invoice)


def world_rows():
    return list(ledger.effects().order_by("pk").values_list("port", "operation", "idempotency_key", "state"))


def wrong():
    execution = SagaExecution.objects.get(saga_id=SAGA_ID)
    return violations_of(COLLECT_PAYMENT_SAGA, SAGA_ID, SandboxProviders().effects(execution))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_late_success_of_a_paused_process_is_not_written(moment):
    with pay_and_pause_once(moment, "payments", "confirm") as paused:
        wait_until_stopped(paused)
        with forked(pay) as other:
            assert exit_code(other) == 0
        written, world = saga_rows(), world_rows()

        os.kill(paused, signal.SIGCONT)
        assert exit_code(paused) == 0

    assert SagaExecution.objects.get().state is SagaState.SUCCEEDED
    assert saga_rows() == written
    assert world_rows() == world
    assert wrong() == []


def test_a_late_call_of_a_paused_process_finds_its_key_dead():
    with pay_and_pause_once("before", "payments", "confirm") as paused:
        wait_until_stopped(paused)
        get_saga_orchestrator().cancel(SAGA_ID, reason="the customer called")
        with forked(pay) as other:
            assert exit_code(other) == 0
        written, world = saga_rows(), world_rows()

        os.kill(paused, signal.SIGCONT)
        assert exit_code(paused) == 0

    assert SagaExecution.objects.get().state is SagaState.FAILED
    assert SandboxEffect.objects.get(operation="charge").state == "canceled"
    assert saga_rows() == written
    assert world_rows() == world
    assert wrong() == []


def write_an_invoice_and_pause(context):
    Invoice.objects.create(
        idempotency_key=f"{context.idempotency_key}-{os.getpid()}",
        saga_id=context.saga_id,
        sale_id="SALE",
        payment_id="pi",
        customer_name="Ana",
        amount=1,
        currency="BRL",
    )
    if not StepRun.objects.exists():
        stop_here()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="on SQLite nobody can write while a transaction is open")
def test_a_transaction_that_is_paused_past_its_lease_is_rolled_back():
    saga = Saga("books", [SagaStep("book", write_an_invoice_and_pause, transactional=True)])

    def book():
        get_saga_orchestrator().execute(SAGA_ID, "books", saga)

    with forked(book) as paused:
        wait_until_stopped(paused)
        with forked(book) as other:
            assert exit_code(other) == 0
        written = saga_rows()

        os.kill(paused, signal.SIGCONT)
        assert exit_code(paused) == 0

    assert SagaExecution.objects.get().state is SagaState.SUCCEEDED
    assert saga_rows() == written
    assert Invoice.objects.count() == 1
