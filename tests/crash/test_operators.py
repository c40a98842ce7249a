"""An operator acts during each provider call: the request is kept, and the history stays complete."""

from functools import partial

import pytest

from integrations.sandbox import probes
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from sagas.testing.child_process import run_in_child
from sagas.testing.crash_points import CRASHED
from tests.support.bookings import SandboxProviders, booking_input, payment_input

pytestmark = pytest.mark.django_db(transaction=True)

SAGAS = [(CREATE_BOOKING_SAGA, booking_input, 8), (COLLECT_PAYMENT_SAGA, payment_input, 8)]
IDS = [saga.name for saga, _, _ in SAGAS]


def execute(saga, given, saga_id):
    get_saga_orchestrator().execute(saga_id, saga.name, context=given(saga_id))


def execute_and_act(saga, given, saga_id, operation, place):
    """Execute the saga and perform the operation at provider call number `place`, counted from 0."""
    places = iter(range(place + 1))

    def meddle(*_):
        if next(places, None) == place:
            perform(operation, saga_id, reason="test")

    probes.append(meddle)
    execute(saga, given, saga_id)


def in_child(function, *arguments):
    run_in_child(partial(function, *arguments), expected_exit=CRASHED, patience=30)


def found(saga, saga_id):
    execution = SagaExecution.objects.get(saga_id=saga_id)
    return execution, violations_of(saga, saga_id, SandboxProviders().effects(execution))


@pytest.mark.parametrize(("saga", "given", "places"), SAGAS, ids=IDS)
def test_a_saga_cancelled_at_any_moment_is_undone(saga, given, places):
    for place in range(places):
        in_child(execute_and_act, saga, given, f"s{place}", Operation.CANCEL, place)

        execution, wrong = found(saga, f"s{place}")
        assert (execution.state, wrong) == (SagaState.FAILED, [])
        assert (execution.failed_step, execution.needs_attention) == ("", False)


@pytest.mark.prove
@pytest.mark.parametrize(("saga", "given", "places"), SAGAS, ids=IDS)
def test_a_saga_held_at_any_moment_is_held_and_goes_on_when_released(saga, given, places):
    for place in range(places):
        in_child(execute_and_act, saga, given, f"s{place}", Operation.HOLD, place)
        execution, wrong = found(saga, f"s{place}")
        assert (execution.state, wrong) == (SagaState.IN_PROGRESS, [])
        assert execution.held == "Held by an operator: test"

        perform(Operation.RELEASE, f"s{place}")
        in_child(execute, saga, given, f"s{place}")
        execution, wrong = found(saga, f"s{place}")
        assert (execution.state, wrong) == (SagaState.SUCCEEDED, [])


@pytest.mark.parametrize(("saga", "given", "places"), SAGAS, ids=IDS)
def test_a_saga_undone_by_an_operator_and_retried_tells_it_all(saga, given, places):
    for operation, state in (
        (None, SagaState.SUCCEEDED),
        (Operation.COMPENSATE, SagaState.FAILED),
        (Operation.RETRY, SagaState.SUCCEEDED),
    ):
        if operation:
            perform(operation, "s1", reason="test")
        in_child(execute, saga, given, "s1")

        execution, wrong = found(saga, "s1")
        assert (execution.state, wrong) == (state, [])
    assert execution.run == 2
