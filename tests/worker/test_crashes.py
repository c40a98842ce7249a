"""After the crash of any process, every saga ends and each effect happens once."""

import os
import signal

import pytest
from django.db.models.functions import Now

from integrations.models import SandboxFault
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, booking_input, payment_input
from tests.support.processes import wait_for

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]

MANY = int(os.environ.get("SAGAS_MANY", "40"))
SAGAS = [(CREATE_BOOKING_SAGA, booking_input), (COLLECT_PAYMENT_SAGA, payment_input)]
DEFINITIONS = {saga.name: saga for saga, _ in SAGAS}


@pytest.fixture
def slow_providers():
    """Make each call to a sandbox take 50 ms."""
    SandboxFault.objects.create(mode="latency", latency_ms=50, remaining=1_000_000)


def queue(count, prefix="q"):
    """Start `count` executions, alternately of the two sagas."""
    for number in range(count):
        saga, given = SAGAS[number % 2]
        get_saga_orchestrator().start(f"{prefix}-{number}", saga.name, context=given(f"{prefix}-{number}"))


def ended(count):
    return SagaExecution.objects.filter(state__in=["succeeded", "failed"]).count() >= count


def assert_all_went_well(count):
    executions = list(SagaExecution.objects.filter(saga_name__in=DEFINITIONS))
    assert len(executions) == count
    assert {execution.state for execution in executions} == {SagaState.SUCCEEDED}
    found = {
        execution.saga_id: violations
        for execution in executions
        if (
            violations := violations_of(
                DEFINITIONS[execution.saga_name], execution.saga_id, SandboxProviders().effects(execution)
            )
        )
    }
    assert found == {}


@pytest.mark.parametrize("command", ["qcluster", "saga_workers"])
def test_a_cluster_started_after_a_crash_finishes_the_work(cluster, slow_providers, command):
    queue(MANY)
    first = cluster(command)
    wait_for(lambda: ended(MANY // 4))
    first.kill()
    assert not ended(MANY)

    cluster(command)
    wait_for(lambda: ended(MANY))

    assert_all_went_well(MANY)


def the_busy_worker(one):
    return one.rows.filter(running__gt=0).first().pid


VICTIMS = {
    "worker": lambda one: one.workers[0],
    "pusher": lambda one: one.helpers["pusher"],
    "monitor": lambda one: one.helpers["monitor"],
    "sentinel": lambda one: one.sentinel,
    "parent": lambda one: one.group,
}


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_a_supervised_cluster_recovers_from_the_crash_of_a_process(cluster, slow_providers, victim, busy):
    one = cluster("saga_workers")
    if busy:
        queue(MANY)
        wait_for(lambda: ended(MANY // 8))
    before = one.group
    os.kill(VICTIMS[victim](one), signal.SIGKILL)
    if not busy:
        queue(MANY)
    wait_for(lambda: ended(MANY))

    assert_all_went_well(MANY)
    wait_for(lambda: one.rows.exists() and one.group != before and len(one.workers) == 2)


def test_an_unresponsive_cluster_is_replaced_for_a_lost_execution(cluster):
    one = cluster("saga_workers", workers=1, DRAIN_SECONDS=1)
    before = one.group
    os.kill(one.helpers["pusher"], signal.SIGSTOP)
    get_saga_orchestrator().start("n", "noop")
    lost = {"leased": True, "state": "in_progress", "worker": "one that crashed", "started_at": Now()}
    SagaExecution.objects.filter(saga_id="n").update(recoveries=1, **lost)

    wait_for(lambda: ended(1))

    assert get_saga_orchestrator().get_status("n").state is SagaState.SUCCEEDED
    assert one.group != before
    assert "no worker looked for work for 10 s, although work was due and threads were free" in one.said
