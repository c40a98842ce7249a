"""A proof passes a saga that keeps the rules and names the flaw of one that does not."""

import uuid

import pytest
from django.db import transaction

from sagas import Saga, SagaStep, StepFailed
from sagas.testing import World, prove
from sagas.testing.proof import scenarios

pytestmark = [pytest.mark.prove, pytest.mark.once, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "world.sqlite3")


@pytest.fixture
def proved(world, tmp_path):
    """Prove a saga whose first step, or its undo, is the given function; what was shown, by scenario."""

    def proved(action=None, compensation=None):
        def do(context):
            world.do(context.step, context.idempotency_key)

        def undo(context):
            world.undo(context.step, context.action_key, key=context.idempotency_key)

        steps = [
            SagaStep("charge", action or do, compensation or undo),
            SagaStep("ship", do, undo),
        ]
        return {shown.scenario: shown for shown in prove(Saga("order", steps), {}, world, tmp_path / "notes")}

    return proved


def violations(shown):
    return {sentence for one in shown.values() for sentence in one.violations}


def test_a_saga_that_keeps_the_rules_is_killed_everywhere_and_passes(proved):
    shown = proved()

    assert violations(shown) == set()
    assert list(shown) == [
        "all goes well",
        "charge is refused",
        "ship is refused",
        "the undo of charge is refused",
        "the undo of ship is refused",
        "a reply to charge is lost",
        "no reply to charge comes",
        "a reply to ship is lost",
        "no reply to ship comes",
    ]
    assert set(shown["all goes well"].outcomes) == {"succeeded"}
    assert set(shown["ship is refused"].outcomes) == {"failed"}
    assert set(shown["the undo of charge is refused"].outcomes) == {"partially_compensated"}
    # Each step: before and after its call, its checkpoint on SQLite by a transaction, on PostgreSQL by a statement.
    assert shown["all goes well"].points >= 2 * 4


def test_an_undo_that_cannot_be_told_twice_is_named(world, proved):
    def refund_once(context):
        if world.find("charge", context.action_key) is None:
            raise StepFailed("there is no charge")
        world.undo("charge", context.action_key, key=context.idempotency_key)

    found = violations(proved(compensation=refund_once))

    assert any(
        sentence.startswith(
            "The compensation of charge is not idempotent: called again after a crash (after charge.undo)"
        )
        and sentence.endswith("the saga ended partially_compensated instead of failed.")
        for sentence in found
    )


def test_an_action_without_its_key_is_named(world, proved):
    found = violations(proved(lambda context: world.do("charge", uuid.uuid5(uuid.uuid4(), "charge"))))

    assert (
        "The action of charge calls charge without its idempotency key: an attempt that is repeated has its effect "
        "twice."
    ) in found


def test_an_effect_inside_an_open_transaction_is_named(world, proved):
    def charge(context):
        with transaction.atomic():
            world.do("charge", context.idempotency_key)

    found = violations(proved(charge))

    assert "The action of charge calls charge inside an open transaction, which cannot take it back." in found
    assert "The world objects: charge was called while a transaction was open, which cannot take it back." in found


def test_an_exception_after_the_effect_is_named(world, proved):
    def charge(context):
        world.do("charge", context.idempotency_key)
        raise ValueError("the reply makes no sense")

    found = violations(proved(charge))

    assert (
        "The action of charge raises ValueError after charge took effect, which counts as 'it did not happen': raise "
        "OutcomeUnknown."
    ) in found
    assert "I2: the effect of charge remains" in found


def test_an_undo_that_undoes_nothing_is_found(world, proved):
    found = violations(proved(compensation=lambda context: None))

    assert "I2: the effect of charge remains" in found


def test_every_saga_has_a_scenario_for_each_step_and_each_undo():
    saga = Saga(
        "one", [SagaStep("only", lambda context: None), SagaStep("books", lambda context: None, transactional=True)]
    )

    assert [scenario.name for scenario in scenarios(saga)] == [
        "all goes well",
        "only is refused",
        "books is refused",
        "a reply to only is lost",
        "no reply to only comes",
    ]
