"""Promise 4: `verify` asks the provider whether the effect took place."""

import uuid

import pytest

from sagas import RetryLater, SagaState, StepFailed
from sagas.operations import Operation, perform
from tests.support import finish, let_pass, let_wait_pass, lost, new_id, run, story

pytestmark = pytest.mark.django_db


def test_it_is_asked_not_before_one_timeout_after_the_deadline(stage):
    step = stage.step("charge", lost(), verify=[{"id": 7}], idempotent=False, timeout=30)
    saga_id = new_id()
    execution = run(step, saga_id=saga_id, max_seconds=0)

    started = execution.step_executions.get().started_at
    assert round((execution.due_at - started).total_seconds()) == 60
    run(step, saga_id=saga_id, max_seconds=0.05)
    let_pass(execution, 59)
    run(step, saga_id=saga_id, max_seconds=0.05)
    assert stage.told == ["charge"]

    let_pass(execution, 1.1)
    assert run(step, saga_id=saga_id).state is SagaState.SUCCEEDED
    assert stage.told == ["charge", "charge.verify"]


def test_a_mapping_means_that_it_happened_and_is_its_output(stage):
    execution = finish(
        stage.step("charge", lost(), verify=[{"id": 7}], idempotent=False), stage.step("mail"), saga_id="happened"
    )

    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"id": 7}
    assert stage.calls[-1].outputs == {"charge": {"id": 7}}
    assert story(execution)[1] == "charge verify 1 succeeded"
    assert stage.keys[1] == "happened:1:charge"


def test_none_means_that_it_did_not_happen_and_nothing_is_undone(stage):
    execution = finish(stage.step("charge", lost(), verify=[None], idempotent=False), saga_id=new_id())

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == "charge"
    assert stage.told == ["charge", "charge.verify"]
    assert story(execution)[1] == "charge verify 1 failed"


@pytest.mark.parametrize("unknown", [ValueError(), RetryLater(1), StepFailed("not found"), lost()], ids=repr)
def test_raising_means_still_unknown_and_is_asked_again(stage, unknown):
    step = stage.step("charge", lost(), verify=[unknown], idempotent=False, retry_count=2)
    execution = finish(step, saga_id=new_id())

    assert execution.state is SagaState.FAILED
    assert stage.told == ["charge", *["charge.verify"] * 3, "charge.undo"]
    assert story(execution)[1:4] == [f"charge verify {n} uncertain" for n in (1, 2, 3)]


def test_it_decides_for_an_idempotent_step_too_once_its_retries_are_spent(stage):
    step = stage.step("charge", lost(), lost(), verify=[{}], retry_count=1)

    assert finish(step, saga_id=new_id()).state is SagaState.SUCCEEDED
    assert stage.told == ["charge", "charge", "charge.verify"]


def test_it_decides_after_a_refusal_that_followed_a_lost_answer(stage):
    step = stage.step("charge", lost(), StepFailed("duplicate"), verify=[{"id": 7}])

    assert finish(step, saga_id=new_id()).state is SagaState.SUCCEEDED
    assert stage.told == ["charge", "charge", "charge.verify"]


def test_it_is_not_asked_when_there_is_no_doubt(stage):
    finish(stage.step("charge", StepFailed("declined"), verify=[{}]), saga_id=new_id())

    assert stage.told == ["charge"]


def test_it_knows_the_actions_key_and_that_nobody_knows(stage):
    seen = []

    def verify(context):
        seen.append((context.action_key, context.idempotency_key, context.uncertain, context.action_uuid))
        return {}

    step = stage.step("charge", lost(), verify=[verify], idempotent=False)
    execution = finish(step, saga_id="keys-of-verify")

    key = "keys-of-verify:1:charge"
    assert seen[0][:3] == (key, key, True)
    assert seen[0][3] == uuid.uuid5(uuid.NAMESPACE_URL, "sagas:" + key)
    assert execution.state is SagaState.SUCCEEDED


def test_an_operator_can_have_a_provider_asked_at_once(stage, registered, orchestrator):
    saga = registered(
        stage.step("charge", lost(), undo=[StepFailed("no")], verify=[ValueError(), {"id": 7}], retry_count=0)
    )
    saga_id = new_id()
    execution = orchestrator.execute(saga_id, "trip", saga, max_seconds=0)
    let_wait_pass(execution)
    execution = orchestrator.execute(saga_id, "trip", saga)
    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert execution.needs_attention

    execution = orchestrator.verify(saga_id, reason="the provider answered the phone")

    assert stage.told == ["charge", "charge.verify", "charge.undo", "charge.verify"]
    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert execution.steps_completed == ["charge"]
    assert execution.needs_attention


def test_a_no_from_verify_does_not_count_while_the_request_may_arrive(stage, registered, orchestrator):
    """An impatient operator asks for verification before the provider knows of the charge."""
    saga = registered(stage.step("charge", lost(), verify=[None, {"id": 7}], idempotent=False, timeout=30))
    saga_id = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.1).saga_id
    perform(Operation.VERIFY, saga_id)
    execution = orchestrator.resume(saga_id, max_seconds=0.1)

    assert story(execution) == ["charge action 1 uncertain", "charge verify 1 uncertain"]
    charged, asked = execution.step_executions
    assert round((asked.retry_at - charged.started_at).total_seconds()) == 60
    assert (execution.state, execution.pending_request) == (SagaState.IN_PROGRESS, None)

    let_wait_pass(execution)
    execution = orchestrator.resume(saga_id)
    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"id": 7}
    assert stage.told == ["charge", "charge.verify", "charge.verify"]


def test_a_no_from_verify_ends_a_saga_that_could_not_be_compensated(stage, registered, orchestrator):
    step = stage.step("charge", lost(), undo=[StepFailed("no")], verify=[ValueError(), None], retry_count=0, timeout=1)
    saga_id = orchestrator.execute(new_id(), "trip", registered(step), max_seconds=0).saga_id
    let_wait_pass(orchestrator.get_status(saga_id))
    assert orchestrator.resume(saga_id).state is SagaState.PARTIALLY_COMPENSATED

    execution = orchestrator.verify(saga_id, reason="the provider answered the phone")

    assert stage.told == ["charge", "charge.verify", "charge.undo", "charge.verify"]
    assert story(execution)[-1] == "charge verify 2 failed"
    assert (execution.state, execution.failed_step) == (SagaState.FAILED, "charge")
    assert not execution.needs_attention
    assert not execution.compensation_performed
