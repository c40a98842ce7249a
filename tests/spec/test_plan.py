"""Promise 14: the plan is pinned, and steps are looked up by name."""

import pytest

from sagas import SagaState, StepFailed
from sagas.orchestrator import get_saga_orchestrator
from tests.support import new_id

pytestmark = pytest.mark.django_db


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="a deployment")


@pytest.fixture
def held_after_b(stage, registered, orchestrator):
    """A saga of a, b and c, parked after b."""
    saga = registered(stage.step("a"), stage.step("b", holds), stage.step("c"))
    return orchestrator.execute(new_id(), "trip", saga).saga_id


@pytest.fixture
def deploy(registered, orchestrator):
    """Deploys another definition, and releases the saga into it."""

    def redefine(saga_id, *steps):
        registered(*steps)
        orchestrator.release(saga_id)
        return orchestrator.resume(saga_id)

    return redefine


GONE = (
    "The definition of trip no longer has the step {!r}, which this execution was planned with. "
    "Deploy a version that has it, then release."
)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "see"], ["see", "b", "a"]])
def test_a_planned_step_that_is_gone_or_renamed_holds_the_execution(stage, deploy, held_after_b, names):
    execution = deploy(held_after_b, *[stage.step(name) for name in names])

    assert execution.held == GONE.format("c")
    assert execution.needs_attention
    assert execution.state is SagaState.IN_PROGRESS
    assert stage.told == ["a", "b"]


def test_it_goes_on_once_the_step_is_back(stage, deploy, held_after_b):
    deploy(held_after_b, stage.step("a"))

    execution = deploy(held_after_b, stage.step("a"), stage.step("b"), stage.step("c"))

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b", "c"]


def test_a_step_that_is_behind_it_must_still_be_there(stage, deploy, held_after_b):
    assert deploy(held_after_b, stage.step("b"), stage.step("c")).held == GONE.format("a")


def test_steps_in_another_order_run_in_the_order_of_the_plan(stage, deploy, held_after_b):
    execution = deploy(held_after_b, stage.step("c"), stage.step("a"), stage.step("b"))

    assert execution.state is SagaState.SUCCEEDED
    assert execution.steps_completed == ["a", "b", "c"]
    assert stage.told == ["a", "b", "c"]


def test_a_step_that_was_inserted_is_for_new_executions(stage, deploy, held_after_b, orchestrator):
    execution = deploy(held_after_b, stage.step("a"), stage.step("new"), stage.step("b"), stage.step("c"))

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b", "c"]
    assert orchestrator.execute(new_id(), "trip").plan == ["a", "new", "b", "c"]


def test_the_undos_of_a_reordered_saga_follow_the_plan(stage, deploy, held_after_b):
    execution = deploy(held_after_b, stage.step("c", StepFailed("no")), stage.step("b"), stage.step("a"))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "b", "c", "b.undo", "a.undo"]


def test_todays_function_of_a_step_is_what_runs(stage, deploy, held_after_b):
    execution = deploy(held_after_b, stage.step("a"), stage.step("b"), stage.step("c", {"version": 2}))

    assert execution.context == {"version": 2}


def test_a_retry_of_a_failed_saga_takes_todays_plan(stage, registered, orchestrator):
    saga_id = orchestrator.execute(new_id(), "trip", registered(stage.step("a", StepFailed("no")))).saga_id

    registered(stage.step("b"), stage.step("a"))
    execution = orchestrator.retry_failed(saga_id)

    assert execution.plan == ["b", "a"]
    assert execution.state is SagaState.SUCCEEDED
