"""Traps 1 and 3: an effect whose reply was lost counts once, or is compensated."""

from dataclasses import replace

import pytest

from integrations.models import SandboxEffect, SandboxFault
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, booking_input, payment_input

pytestmark = pytest.mark.django_db(transaction=True)


def order(port, operation, mode, **values):
    SandboxFault.objects.create(port=port, operation=operation, mode=mode, **{"remaining": 1} | values)


def impatient(saga, **changes):
    """Return the saga with short timeouts and retry delays."""
    return saga.with_steps(replace(step, timeout=1.0, retry_delay=0.01, **changes) for step in saga)


def execute(saga, given):
    execution = get_saga_orchestrator().execute("s1", saga.name, saga, given("s1"))
    return execution, violations_of(saga, "s1", SandboxProviders().effects(execution))


def outcomes(execution, step):
    return [run.outcome for run in execution.step_executions if run.step == step]


@pytest.mark.parametrize("operation", ["create", "confirm"])
def test_a_charge_that_took_effect_and_timed_out_is_one_charge(operation):
    order("payments", operation, "timeout")

    execution, wrong = execute(impatient(COLLECT_PAYMENT_SAGA), payment_input)

    assert execution.state is SagaState.SUCCEEDED
    assert outcomes(execution, "process_payment") == ["uncertain", "succeeded"]
    assert SandboxEffect.objects.filter(operation="charge", state="succeeded").count() == 1
    assert wrong == []


def test_a_mail_that_timed_out_goes_out_twice_and_the_history_says_so():
    order("email", "send", "timeout")

    execution, wrong = execute(impatient(CREATE_BOOKING_SAGA), booking_input)

    assert execution.state is SagaState.SUCCEEDED
    assert outcomes(execution, "send_email") == ["uncertain", "succeeded"]
    assert SandboxEffect.objects.filter(port="email").count() == 2
    assert wrong == []


def test_a_refusal_after_a_lost_reply_is_still_undone():
    order("payments", "confirm", "effect_then_lose_reply")
    order("payments", "create", "latency")
    order("payments", "create", "refuse")

    execution, wrong = execute(impatient(COLLECT_PAYMENT_SAGA, verify=None), payment_input)

    assert execution.state is SagaState.FAILED
    assert outcomes(execution, "process_payment") == ["uncertain", "failed", "succeeded"]
    assert SandboxEffect.objects.get(operation="charge").state == "refunded"
    assert wrong == []


def test_a_refusal_after_a_lost_reply_is_verified_if_the_step_can_be():
    order("payments", "confirm", "effect_then_lose_reply")
    order("payments", "create", "latency")
    order("payments", "create", "refuse")

    execution, wrong = execute(impatient(COLLECT_PAYMENT_SAGA), payment_input)

    assert execution.state is SagaState.SUCCEEDED
    assert outcomes(execution, "process_payment") == ["uncertain", "failed", "succeeded"]
    assert SandboxEffect.objects.get(operation="charge").state == "succeeded"
    assert wrong == []
