"""The world that comes with sagas.testing: what it does, what it objects to, and how it goes wrong on demand."""

import pytest
from django.db import transaction

from sagas import Saga, SagaState, SagaStep
from sagas.definition.saga import uuid_of
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import World, WorldObjects, violations_of

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

CHARGE, SHIP = "order-1:1:charge", "order-1:1:ship"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "world.sqlite3")


def trip(world, **options):
    """Charge and ship, each to be undone."""

    def do(context):
        return {f"{context.step}_id": world.do(context.step, context.idempotency_key, amount=5)["id"]}

    def undo(context):
        world.undo(context.step, context.action_key, key=context.idempotency_key)

    def find(context):
        return world.find(context.step, context.idempotency_key)

    steps = [SagaStep(name, do, undo, verify=find, timeout=1.0, retry_count=1) for name in ("charge", "ship")]
    return Saga("trip", steps, **options)


def run(saga, saga_id):
    return get_saga_orchestrator().execute(saga_id, saga.name, saga)


def told(action):
    with pytest.raises(WorldObjects) as objection:
        action()
    return str(objection.value)


def test_the_same_key_gives_the_same_reply_and_no_second_effect(world):
    first = world.do("charge", CHARGE, amount=5)

    assert world.do("charge", CHARGE, amount=5) == first == {"id": "charge-1"}
    assert [(one.key, one.state) for one in world.effects_of("charge")] == [(CHARGE, "standing")]
    assert world.find("charge", CHARGE) == first
    assert world.objections == []


def test_a_message_goes_out_once_more_for_each_call(world):
    world.do("mail", CHARGE, repeats=True)
    world.do("mail", CHARGE, repeats=True)

    assert len(world.effects_of("mail")) == 2


def test_what_was_undone_is_found_no_more_and_may_be_undone_again(world):
    world.do("charge", CHARGE)

    assert world.undo("charge", CHARGE, key=f"{CHARGE}:undo") == {"id": "charge-1"}
    assert world.undo("charge", CHARGE, key=f"{CHARGE}:undo") == {"id": "charge-1"}
    assert world.find("charge", CHARGE) is None
    assert world.objections == []


def test_after_an_undo_of_what_never_happened_a_late_request_is_refused(world):
    assert world.undo("charge", CHARGE, key=f"{CHARGE}:undo") is None

    with pytest.raises(Exception, match="charge was cancelled before it came"):
        world.do("charge", CHARGE)
    assert world.find("charge", CHARGE) is None


def test_it_objects_to_what_no_saga_may_do(world):
    world.do("charge", CHARGE, amount=5)
    world.do("ship", SHIP)
    world.undo("charge", CHARGE, key=f"{CHARGE}:undo")
    sentences = [
        told(lambda: world.do("charge", "4711")),
        told(lambda: world.do("charge", "0b9c1a52-8c2e-4f0e-9a5d-111111111111")),
        told(lambda: world.do("charge", CHARGE, amount=6)),
        told(lambda: world.do("charge", CHARGE, amount=5)),
        told(lambda: world.undo("ship", SHIP, key=f"{SHIP}:undo")),
        told(lambda: world.undo("ship", f"{SHIP}:undo", key=f"{SHIP}:undo")),
    ]

    assert sentences == [
        "charge came with the key '4711', which is no step's idempotency key",
        "charge came with the key '0b9c1a52-8c2e-4f0e-9a5d-111111111111', which is no step's idempotency key",
        "charge came twice with the key 'order-1:1:charge', and with two different requests",
        "charge came again with the key 'order-1:1:charge' after it had been undone",
        "ship was undone after charge, which had come before it",
        "ship.undo names the key 'order-1:1:ship:undo', which is no action's",
    ]
    assert world.objections == sentences


def test_it_objects_to_a_call_inside_a_transaction(world):
    with transaction.atomic():
        sentence = told(lambda: world.do("charge", uuid_of(CHARGE)))

    assert sentence == "charge was called while a transaction was open, which cannot take it back"


@pytest.mark.parametrize(
    ("fault", "state", "attempts"),
    [
        ("refuse", SagaState.FAILED, ["failed"]),
        ("fail", SagaState.SUCCEEDED, ["failed", "succeeded"]),
        ("lose_the_reply", SagaState.SUCCEEDED, ["uncertain", "succeeded"]),
        ("hang", SagaState.SUCCEEDED, ["uncertain", "succeeded"]),
    ],
)
def test_it_goes_wrong_on_demand(world, saga_clock, fault, state, attempts):
    getattr(world, fault)("ship")

    execution = run(trip(world), "t")

    assert execution.state is state
    assert [run.outcome for run in execution.step_executions if run.step == "ship"][: len(attempts)] == attempts
    assert violations_of(trip(world), "t", world.effects(execution)) == []
    assert world.objections == []


def test_a_saga_whose_steps_know_their_keys_by_uuid_is_known_as_well(world):
    saga = Saga("trip", [SagaStep("charge", lambda context: world.do("charge", context.idempotency_uuid))])

    execution = run(saga, "t")

    assert world.effects(execution)["charge"].done == 1
    assert violations_of(saga, "t", world.effects(execution)) == []
