"""Promise 13: after the pivot there is no rollback."""

import pytest

from sagas import SagaState, StepFailed
from tests.support import let_wait_pass, lost, new_id, run

pytestmark = pytest.mark.django_db

IN_DOUBT = (
    "It is not known whether step 'pay', the point of no return, took effect. "
    "Check with the provider, then mark the step as resolved."
)
AFTER = (
    "Step 'mail' failed for good after the point of no return. "
    "Fix the cause, then release; or mark the step as resolved."
)


def test_a_pivot_that_fails_rolls_back(stage):
    execution = run(stage.step("a"), stage.step("pay", StepFailed("declined"), pivot=True, undo=None))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "pay", "a.undo"]


def test_a_pivot_in_doubt_is_undone_if_it_has_a_compensation(stage):
    execution = run(stage.step("a"), stage.step("pay", lost(), pivot=True, idempotent=False))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "pay", "pay.undo", "a.undo"]


def test_a_pivot_in_doubt_is_verified(stage):
    steps = [stage.step("a"), stage.step("pay", lost(), pivot=True, idempotent=False, undo=None, verify=[{"id": 7}])]
    execution = run(*steps, saga_id="pivot-verified", max_seconds=0.3)
    execution = run(*steps, saga_id=let_wait_pass(execution).saga_id)

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "pay", "pay.verify"]


@pytest.fixture
def in_doubt(stage, registered, orchestrator):
    """A saga that is held because its pivot is in doubt."""
    saga = registered(
        stage.step("a"), stage.step("pay", lost(), pivot=True, idempotent=False, undo=None), stage.step("b", undo=None)
    )
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert execution.held == IN_DOUBT
    assert execution.state is SagaState.IN_PROGRESS
    assert execution.needs_attention
    return execution.saga_id


def test_a_pivot_in_doubt_that_was_done_is_resolved_and_the_saga_goes_on(stage, orchestrator, in_doubt):
    execution = orchestrator.resolve_step(in_doubt, "pay", "done", {"id": 7}, evidence="their dashboard")
    assert execution.context == {"id": 7}
    assert execution.held == ""

    execution = orchestrator.resume(in_doubt)

    assert execution.state is SagaState.SUCCEEDED
    assert execution.steps_completed == ["a", "pay", "b"]
    assert stage.told == ["a", "pay", "b"]


def test_a_pivot_in_doubt_resolved_as_not_done_rolls_the_saga_back(stage, orchestrator, in_doubt):
    orchestrator.resolve_step(in_doubt, "pay", "not_done", evidence="their dashboard")
    execution = orchestrator.resume(in_doubt)

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == "pay"
    assert not execution.needs_attention
    assert stage.told == ["a", "pay", "a.undo"]


def test_a_lost_pivot_resolved_as_not_done_is_not_called_again(stage, registered, orchestrator):
    import datetime as dt

    from sagas.models import SagaExecution

    saga = registered(stage.step("pay", pivot=True, idempotent=False, undo=None))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    SagaExecution.objects.filter(saga_id=saga_id).update(
        state=SagaState.IN_PROGRESS, action_started=True, leased=True, due_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    )
    assert orchestrator.execute(saga_id, "trip", saga).held == IN_DOUBT

    orchestrator.resolve_step(saga_id, "pay", "not_done")

    assert orchestrator.resume(saga_id).state is SagaState.FAILED
    assert stage.told == []


def test_a_pivot_in_doubt_stays_in_doubt_when_it_is_only_released(stage, orchestrator, in_doubt):
    orchestrator.release(in_doubt)

    assert orchestrator.resume(in_doubt).held == IN_DOUBT
    assert stage.told == ["a", "pay"]


@pytest.fixture
def after(stage, registered, orchestrator):
    """A saga that is held because a step after its pivot failed."""
    saga = registered(
        stage.step("a"),
        stage.step("pay", pivot=True),
        stage.step("mail", StepFailed("no such address"), {"mail": 1}, undo=None),
        stage.step("b", undo=None),
    )
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert execution.held == AFTER
    assert execution.state is SagaState.IN_PROGRESS
    assert execution.failed_step == ""
    return execution.saga_id


def test_a_failure_after_the_pivot_is_held_and_retried_on_release(stage, orchestrator, after):
    orchestrator.release(after, reason="address mended")
    execution = orchestrator.resume(after)

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "pay", "mail", "mail", "b"]


def test_a_failure_after_the_pivot_is_resolved_and_the_saga_goes_on(stage, orchestrator, after):
    orchestrator.resolve_step(after, "mail", "done", evidence="told by telephone")
    execution = orchestrator.resume(after)

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "pay", "mail", "b"]
    assert not execution.needs_attention


def test_a_failure_after_the_pivot_that_was_not_done_is_still_held(stage, orchestrator, after):
    execution = orchestrator.resolve_step(after, "mail", "not_done")

    assert execution.held == AFTER
    assert execution.needs_attention
    assert orchestrator.resume(after).held == AFTER


def test_an_optional_steps_failure_after_the_pivot_is_passed_over(stage):
    execution = run(
        stage.step("pay", pivot=True),
        stage.step("track", StepFailed("off"), optional=True, undo=None),
        stage.step("b", undo=None),
    )

    assert execution.state is SagaState.SUCCEEDED
    assert execution.steps_completed == ["pay", "b"]
