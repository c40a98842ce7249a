"""`FakeProvider`: its replies, the calls that it rejects, and its planned faults."""

import pytest
from django.db import transaction

from sagas import Saga, SagaState, SagaStep
from sagas.definition.context import uuid_of
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import FakeProvider, InvalidCall, violations_of

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

CHARGE, SHIP = "order-1:1:charge", "order-1:1:ship"


@pytest.fixture
def provider(tmp_path):
    """A fake provider. Unlike the fixture `fake_provider`, it does not fail the test because of violations."""
    return FakeProvider(tmp_path / "ledger.sqlite3")


def trip(provider):
    """Return a saga with the steps charge and ship. Both have a compensation and a verify."""

    def do(context):
        return {f"{context.step}_id": provider.do(context.step, context.idempotency_key, amount=5)["id"]}

    def reverse(context):
        provider.reverse(context.step, context.action_key, key=context.idempotency_key)

    def find(context):
        return provider.find(context.step, context.idempotency_key)

    steps = [SagaStep(name, do, reverse, verify=find, timeout=1.0, retry_count=1) for name in ("charge", "ship")]
    return Saga("trip", steps)


def run(saga, saga_id):
    return get_saga_orchestrator().execute(saga_id, saga.name, saga)


def rejected(call):
    """Check that the fake provider rejects the call, and return the error message."""
    with pytest.raises(InvalidCall) as error:
        call()
    return str(error.value)


def test_the_same_key_gives_the_same_reply_and_no_second_effect(provider):
    first = provider.do("charge", CHARGE, amount=5)

    assert provider.do("charge", CHARGE, amount=5) == first == {"id": "charge-1"}
    assert [(effect.key, effect.state) for effect in provider.effects_of("charge")] == [(CHARGE, "active")]
    assert provider.find("charge", CHARGE) == first
    assert provider.violations == []


def test_a_message_has_its_effect_with_each_call(provider):
    provider.do("mail", CHARGE, repeats=True)
    provider.do("mail", CHARGE, repeats=True)

    assert len(provider.effects_of("mail")) == 2


def test_a_reversed_effect_is_not_found_and_may_be_reversed_again(provider):
    provider.do("charge", CHARGE)

    assert provider.reverse("charge", CHARGE, key=f"{CHARGE}:undo") == {"id": "charge-1"}
    assert provider.reverse("charge", CHARGE, key=f"{CHARGE}:undo") == {"id": "charge-1"}
    assert provider.find("charge", CHARGE) is None
    assert provider.violations == []


def test_a_request_after_its_reversal_is_refused(provider):
    assert provider.reverse("charge", CHARGE, key=f"{CHARGE}:undo") is None

    with pytest.raises(Exception, match="charge was reversed before it arrived"):
        provider.do("charge", CHARGE)
    assert provider.find("charge", CHARGE) is None


def test_calls_that_no_saga_may_make_are_rejected(provider):
    provider.do("charge", CHARGE, amount=5)
    provider.do("ship", SHIP)
    provider.reverse("charge", CHARGE, key=f"{CHARGE}:undo")
    sentences = [
        rejected(lambda: provider.do("charge", "4711")),
        rejected(lambda: provider.do("charge", "0b9c1a52-8c2e-4f0e-9a5d-111111111111")),
        rejected(lambda: provider.do("charge", CHARGE, amount=6)),
        rejected(lambda: provider.do("charge", CHARGE, amount=5)),
        rejected(lambda: provider.reverse("ship", SHIP, key=f"{SHIP}:undo")),
        rejected(lambda: provider.reverse("ship", f"{SHIP}:undo", key=f"{SHIP}:undo")),
    ]

    assert sentences == [
        "charge was called with the key '4711', which is no step's idempotency key",
        "charge was called with the key '0b9c1a52-8c2e-4f0e-9a5d-111111111111', which is no step's idempotency key",
        "charge was called twice with the key 'order-1:1:charge' and with different requests",
        "charge was called again with the key 'order-1:1:charge' after its reversal",
        "ship was reversed after charge, which had happened before it",
        "ship.reverse names the key 'order-1:1:ship:undo', which is not an action's",
    ]
    assert provider.violations == sentences


def test_a_call_inside_a_transaction_is_rejected(provider):
    with transaction.atomic():
        sentence = rejected(lambda: provider.do("charge", uuid_of(CHARGE)))

    assert sentence == "charge was called inside an open transaction, whose rollback cannot undo it"


@pytest.mark.parametrize(
    ("fault", "state", "attempts"),
    [
        ("refuse", SagaState.FAILED, ["failed"]),
        ("fail", SagaState.SUCCEEDED, ["failed", "succeeded"]),
        ("lose_reply", SagaState.SUCCEEDED, ["uncertain", "succeeded"]),
        ("hang", SagaState.SUCCEEDED, ["uncertain", "succeeded"]),
    ],
)
def test_a_planned_fault_hits_the_next_call(provider, saga_clock, fault, state, attempts):
    getattr(provider, fault)("ship")

    execution = run(trip(provider), "t")

    assert execution.state is state
    assert [run.outcome for run in execution.step_executions if run.step == "ship"][: len(attempts)] == attempts
    assert violations_of(trip(provider), "t", provider.effects(execution)) == []
    assert provider.violations == []


def test_a_key_may_be_given_as_its_uuid(provider):
    saga = Saga("trip", [SagaStep("charge", lambda context: provider.do("charge", context.idempotency_uuid))])

    execution = run(saga, "t")

    assert provider.effects(execution)["charge"].done == 1
    assert violations_of(saga, "t", provider.effects(execution)) == []
