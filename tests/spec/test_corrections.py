"""Promise 16: input can be corrected before any attempt used it, or for the next run."""

import pytest

from sagas import ActRefused, InvalidInput, SagaState, StepFailed
from sagas.operations import Actor
from sagas.orchestrator import get_saga_orchestrator
from tests.support import new_id

pytestmark = pytest.mark.django_db

REFUSED = "its input can be corrected only after it failed, or on hold before the first attempt of a step."


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="look")
    return {"id": 7}


def test_the_input_of_a_failed_saga_is_corrected_for_its_next_run(stage, registered, orchestrator):
    saga = registered(stage.step("a", StepFailed("no such address"), {}))
    saga_id = orchestrator.execute(new_id(), "trip", saga, context={"mail": "ana@exmaple.com", "n": 1}).saga_id

    by = Actor(name="maria", source="admin")
    execution = orchestrator.correct_input(saga_id, {"mail": "ana@example.com"}, reason="a typo", by=by)
    assert execution.input == {"mail": "ana@example.com"}
    assert execution.context == {"mail": "ana@exmaple.com", "n": 1}
    assert execution.run == 1

    execution = orchestrator.retry_failed(saga_id)
    assert execution.context == {"mail": "ana@example.com"}
    event = execution.events.first()
    assert (event.kind, event.actor_name, event.source, event.reason) == ("correct", "maria", "admin", "a typo")
    assert event.data["changes"] == {"set": {"mail": "ana@example.com"}, "deleted": ["n"]}
    assert event.data["former"] == {"set": {"mail": "ana@exmaple.com", "n": 1}}


def test_the_input_of_a_held_saga_is_corrected_for_its_release(stage, registered, orchestrator):
    saga = registered(stage.step("a", holds), stage.step("b"))
    saga_id = orchestrator.execute(new_id(), "trip", saga, context={"mail": "wrong", "n": 1}).saga_id

    execution = orchestrator.correct_input(saga_id, {"mail": "right", "n": 1})
    assert execution.context == {"mail": "right", "n": 1, "id": 7}

    orchestrator.release(saga_id)
    orchestrator.resume(saga_id)
    assert stage.calls[-1].context == {"mail": "right", "n": 1, "id": 7}


def test_the_input_of_a_saga_held_while_pending_is_corrected(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip", context={"mail": "wrong"}).saga_id
    orchestrator.hold(saga_id)

    orchestrator.correct_input(saga_id, {"mail": "right"})
    orchestrator.release(saga_id)

    assert orchestrator.resume(saga_id).context == {"mail": "right"}
    assert stage.calls[0].context == {"mail": "right"}


def test_input_that_an_attempt_has_used_is_not_corrected(stage, registered, orchestrator):
    saga = registered(stage.step("pay", pivot=True), stage.step("mail", StepFailed("no"), undo=None))
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert execution.held

    with pytest.raises(ActRefused) as refused:
        orchestrator.correct_input(execution.saga_id, {"mail": "right"})

    assert refused.value.sentence == REFUSED


@pytest.mark.parametrize("outcome", [{}, None])
def test_the_input_of_a_finished_saga_is_not_corrected(stage, registered, orchestrator, outcome):
    execution = orchestrator.execute(new_id(), "trip", registered(stage.step("a", outcome)))

    with pytest.raises(ActRefused) as refused:
        orchestrator.correct_input(execution.saga_id, {})

    assert refused.value.sentence == REFUSED


def test_a_correction_is_validated_like_any_input(stage, registered, orchestrator):
    from rest_framework import serializers

    class Input(serializers.Serializer):
        amount = serializers.DecimalField(max_digits=6, decimal_places=2)

    saga = registered(stage.step("a", StepFailed("no")), schema=Input)
    execution = orchestrator.execute(new_id(), "trip", saga, context={"amount": "1"})

    with pytest.raises(InvalidInput) as error:
        orchestrator.correct_input(execution.saga_id, {"amount": "much"})

    assert error.value.errors == {"amount": "A valid number is required."}
    assert orchestrator.get_status(execution.saga_id).input == {"amount": "1.00"}
    assert orchestrator.get_status(execution.saga_id).state is SagaState.FAILED


def test_a_corrected_reference_is_found(stage, registered, orchestrator):
    from sagas.models import SagaExecution

    saga = registered(stage.step("a", StepFailed("no")), references=["mail"])
    execution = orchestrator.execute(new_id(), "trip", saga, context={"mail": "Wrong@x.com"})

    orchestrator.correct_input(execution.saga_id, {"mail": "right@x.com"})

    for mail in ("wrong@X.com", " right@x.com "):
        assert [found.saga_id for found in SagaExecution.objects.referring_to(mail)] == [execution.saga_id]


def test_a_repeated_start_is_compared_with_the_uncorrected_input(stage, registered, orchestrator):
    saga = registered(stage.step("a", StepFailed("no")))
    saga_id = orchestrator.execute(new_id(), "trip", saga, context={"n": 1}).saga_id
    orchestrator.correct_input(saga_id, {"n": 2})

    assert orchestrator.execute(saga_id, "trip", saga, context={"n": 1}).saga_id == saga_id
