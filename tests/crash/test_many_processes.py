"""Trap 18: many processes share one database file, and no work is lost."""

from functools import partial

import pytest

from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, booking_input, payment_input
from tests.support.processes import exit_codes

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 8
EACH = 3


def work(process):
    """Execute sagas with ids that all processes share, and sagas with ids of this process only."""
    mine = [f"{process}-{number}" for number in range(EACH)]
    for name in ["shared", *mine]:
        for saga, given in (("create_booking", booking_input), ("collect_payment", payment_input)):
            get_saga_orchestrator().execute(f"{saga}-{name}", saga, context=given(name))


@pytest.mark.prove
def test_eight_processes_on_one_database_lose_no_work():
    assert exit_codes([partial(work, process) for process in range(PROCESSES)]) == [0] * PROCESSES

    executions = list(SagaExecution.objects.all())
    assert len(executions) == 2 * (PROCESSES * EACH + 1)
    assert {execution.state for execution in executions} == {SagaState.SUCCEEDED}
    sagas = {saga.name: saga for saga in (CREATE_BOOKING_SAGA, COLLECT_PAYMENT_SAGA)}
    for execution in executions:
        effects = SandboxProviders().effects(execution)
        assert violations_of(sagas[execution.saga_name], execution.saga_id, effects) == []
