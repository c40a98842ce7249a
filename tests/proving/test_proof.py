"""`prove` accepts a correct saga and reports the flaws of incorrect sagas."""

import uuid

import pytest
from django.db import transaction

from sagas import Saga, SagaStep, StepFailed
from sagas.testing import FakeProvider, prove
from sagas.testing.proof import scenarios

pytestmark = [pytest.mark.prove, pytest.mark.once, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def provider(tmp_path):
    """A fake provider. Unlike the fixture `fake_provider`, it does not fail the test because of violations."""
    return FakeProvider(tmp_path / "ledger.sqlite3")


@pytest.fixture
def proved(provider, tmp_path):
    """Prove a saga of two steps and return the results by scenario.

    `action` and `compensation` replace the functions of the first step.
    """

    def proved(action=None, compensation=None):
        def do(context):
            provider.do(context.step, context.idempotency_key)

        def reverse(context):
            provider.reverse(context.step, context.action_key, key=context.idempotency_key)

        steps = [
            SagaStep("charge", action or do, compensation or reverse),
            SagaStep("ship", do, reverse),
        ]
        return {one.scenario: one for one in prove(Saga("order", steps), {}, provider, tmp_path / "trace")}

    return proved


def violations(results):
    return {sentence for one in results.values() for sentence in one.violations}


def test_a_correct_saga_is_killed_at_every_crash_point_and_passes(proved):
    results = proved()

    assert violations(results) == set()
    assert list(results) == [
        "success",
        "charge is refused",
        "ship is refused",
        "the compensation of charge is refused",
        "the compensation of ship is refused",
        "a reply to charge is lost",
        "no reply to charge arrives",
        "a reply to ship is lost",
        "no reply to ship arrives",
    ]
    assert set(results["success"].outcomes) == {"succeeded"}
    assert set(results["ship is refused"].outcomes) == {"failed"}
    assert set(results["the compensation of charge is refused"].outcomes) == {"partially_compensated"}
    # Each step has at least 4 crash points: before and after the call, and before and after the checkpoint.
    assert results["success"].points >= 2 * 4


def test_a_compensation_that_cannot_be_repeated_is_named(provider, proved):
    def refund_once(context):
        if provider.find("charge", context.action_key) is None:
            raise StepFailed("there is no charge")
        provider.reverse("charge", context.action_key, key=context.idempotency_key)

    found = violations(proved(compensation=refund_once))

    assert any(
        sentence.startswith(
            "The compensation of charge is not idempotent: called again after a crash (after charge.reverse)"
        )
        and sentence.endswith("the saga ended partially_compensated instead of failed.")
        for sentence in found
    )


def test_an_action_without_its_key_is_named(provider, proved):
    found = violations(proved(lambda context: provider.do("charge", uuid.uuid5(uuid.uuid4(), "charge"))))

    assert (
        "The action of charge calls charge without its idempotency key: a repeated attempt has its effect twice."
    ) in found


def test_an_effect_inside_an_open_transaction_is_named(provider, proved):
    def charge(context):
        with transaction.atomic():
            provider.do("charge", context.idempotency_key)

    found = violations(proved(charge))

    assert "The action of charge calls charge inside an open transaction, whose rollback cannot undo it." in found
    assert (
        "The fake provider rejected a call: charge was called inside an open transaction, whose rollback cannot "
        "undo it."
    ) in found


def test_an_exception_after_the_effect_is_named(provider, proved):
    def charge(context):
        provider.do("charge", context.idempotency_key)
        raise ValueError("the reply makes no sense")

    found = violations(proved(charge))

    assert (
        "The action of charge raises ValueError after charge took effect, which counts as 'it did not happen': raise "
        "OutcomeUnknown."
    ) in found
    assert "I2: the effect of charge remains" in found


def test_a_compensation_without_an_effect_is_found(provider, proved):
    found = violations(proved(compensation=lambda context: None))

    assert "I2: the effect of charge remains" in found


def test_each_step_has_its_scenarios():
    saga = Saga(
        "one", [SagaStep("only", lambda context: None), SagaStep("books", lambda context: None, transactional=True)]
    )

    assert [scenario.name for scenario in scenarios(saga)] == [
        "success",
        "only is refused",
        "books is refused",
        "a reply to only is lost",
        "no reply to only arrives",
    ]
