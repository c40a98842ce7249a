"""Promise 7: idempotency keys."""

import uuid

import pytest

from sagas import SagaState, StepFailed
from tests.support import let_wait_pass, lost, run

pytestmark = pytest.mark.django_db


def keys_of(stage, word):
    return [call.key for call in stage.calls if str(call) == word]


def test_a_key_names_saga_run_and_step_and_the_undo_has_its_own(stage):
    run(stage.step("a"), stage.step("b", ValueError(), ValueError(), StepFailed("no")), saga_id="order:7")

    assert stage.keys == ["order:7:1:a", "order:7:1:b", "order:7:1:b", "order:7:1:b", "order:7:1:a:undo"]


def test_a_retry_of_a_failed_saga_is_a_new_run_with_new_keys(stage, registered, orchestrator):
    saga = registered(stage.step("a", {"id": 1}, {"id": 2}), stage.step("b", StepFailed("no"), {}))
    execution = orchestrator.execute("again", "trip", saga, context={"sale": 1})
    assert execution.context == {"sale": 1, "id": 1}

    execution = orchestrator.retry_failed("again", reason="another card")

    assert execution.state is SagaState.SUCCEEDED
    assert execution.run == 2
    assert execution.context == {"sale": 1, "id": 2}
    assert stage.keys[3:] == ["again:2:a", "again:2:b"]
    assert [call.attempt for call in stage.calls[3:]] == [1, 1]
    assert stage.calls[3].context == {"sale": 1}
    assert execution.failed_step == ""
    assert not execution.compensation_performed
    assert [run.run for run in execution.step_runs.order_by("sequence")] == [1, 1, 1, 2, 2]


def test_a_compensation_that_only_failed_gets_a_new_key_at_each_retry(stage, registered, orchestrator):
    saga = registered(stage.step("a", undo=[StepFailed("no")] * 2 + [{}]), stage.step("b", StepFailed("no")))
    orchestrator.execute("gen", "trip", saga)
    orchestrator.retry_failed("gen")
    execution = orchestrator.retry_failed("gen")

    assert execution.state is SagaState.FAILED
    assert keys_of(stage, "a.undo") == ["gen:1:a:undo", "gen:1:a:undo:2", "gen:1:a:undo:3"]


def test_an_undo_with_an_attempt_in_doubt_keeps_its_key(stage, registered, orchestrator):
    saga = registered(stage.step("a", undo=[lost(), StepFailed("no"), {}]), stage.step("b", StepFailed("no")))
    orchestrator.execute("old", "trip", saga)
    execution = orchestrator.retry_failed("old")

    assert execution.state is SagaState.FAILED
    assert keys_of(stage, "a.undo") == ["old:1:a:undo"] * 3


def test_a_generation_with_an_attempt_in_doubt_is_kept_too(stage, registered, orchestrator):
    undo = [StepFailed("no"), lost(), StepFailed("no"), {}]
    saga = registered(stage.step("a", undo=undo), stage.step("b", StepFailed("no")))
    orchestrator.execute("both", "trip", saga)
    orchestrator.retry_failed("both")
    orchestrator.retry_failed("both")

    assert keys_of(stage, "a.undo") == ["both:1:a:undo", *["both:1:a:undo:2"] * 3]


def test_release_goes_on_with_the_same_keys_and_a_fresh_budget(stage, registered, orchestrator):
    after = stage.step("b", StepFailed("no"), ValueError(), {}, retry_count=1, undo=None)
    saga = registered(stage.step("a", pivot=True, undo=None), after)
    assert orchestrator.execute("same", "trip", saga).held

    orchestrator.release("same")
    execution = orchestrator.resume("same")

    assert execution.state is SagaState.SUCCEEDED
    assert keys_of(stage, "b") == ["same:1:b"] * 3
    assert [call.attempt for call in stage.calls[1:]] == [1, 2, 3]


def test_the_uuid_of_a_key_is_of_its_name(stage):
    seen = []

    def action(context):
        seen.append(context.idempotency_uuid)

    run(stage.step("a", action), saga_id="with-uuid")

    assert seen == [uuid.uuid5(uuid.NAMESPACE_URL, "sagas:with-uuid:1:a")]


def test_verify_asks_under_the_actions_key(stage):
    step = stage.step("a", lost(), verify=[{}], idempotent=False)
    run(step, saga_id="asked", max_seconds=0)
    execution = run(step, saga_id="asked", max_seconds=0)
    let_wait_pass(execution)
    run(step, saga_id="asked")

    assert stage.keys == ["asked:1:a", "asked:1:a"]
