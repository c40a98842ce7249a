"""Promise 14: the plan is pinned at the start, and steps are looked up by name."""

import pytest

from sagas import SagaState, StepFailed
from sagas.orchestrator import get_saga_orchestrator
from tests.support import new_id

pytestmark = pytest.mark.django_db


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="a deployment")


@pytest.fixture
def held_after_b(stage, registered, orchestrator):
    """Return the id of an execution of the steps a, b and c that is held after b."""
    saga = registered(stage.step("a"), stage.step("b", holds), stage.step("c"))
    return orchestrator.execute(new_id(), "trip", saga).saga_id


@pytest.fixture
def deploy(registered, orchestrator):
    """Return a function that registers another definition, releases the execution and resumes it."""

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
def test_a_missing_step_holds_the_execution(stage, deploy, held_after_b, names):
    execution = deploy(held_after_b, *[stage.step(name) for name in names])

    assert execution.held == GONE.format("c")
    assert execution.needs_attention
    assert execution.state is SagaState.IN_PROGRESS
    assert stage.told == ["a", "b"]


def test_a_held_execution_continues_once_the_step_is_back(stage, deploy, held_after_b):
    deploy(held_after_b, stage.step("a"))

    execution = deploy(held_after_b, stage.step("a"), stage.step("b"), stage.step("c"))

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b", "c"]


def test_a_finished_step_must_still_be_defined(stage, deploy, held_after_b):
    assert deploy(held_after_b, stage.step("b"), stage.step("c")).held == GONE.format("a")


def test_reordered_steps_run_in_the_order_of_the_plan(stage, deploy, held_after_b):
    execution = deploy(held_after_b, stage.step("c"), stage.step("a"), stage.step("b"))

    assert execution.state is SagaState.SUCCEEDED
    assert execution.steps_completed == ["a", "b", "c"]
    assert stage.told == ["a", "b", "c"]


def test_an_inserted_step_runs_in_new_executions_only(stage, deploy, held_after_b, orchestrator):
    execution = deploy(held_after_b, stage.step("a"), stage.step("new"), stage.step("b"), stage.step("c"))

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b", "c"]
    assert orchestrator.execute(new_id(), "trip").plan == ["a", "new", "b", "c"]


def test_compensations_of_reordered_steps_follow_the_plan(stage, deploy, held_after_b):
    execution = deploy(held_after_b, stage.step("c", StepFailed("no")), stage.step("b"), stage.step("a"))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "b", "c", "b.undo", "a.undo"]


def test_the_current_function_of_a_step_runs(stage, deploy, held_after_b):
    execution = deploy(held_after_b, stage.step("a"), stage.step("b"), stage.step("c", {"version": 2}))

    assert execution.context == {"version": 2}


def test_a_retry_pins_the_current_plan(stage, registered, orchestrator):
    saga_id = orchestrator.execute(new_id(), "trip", registered(stage.step("a", StepFailed("no")))).saga_id

    registered(stage.step("b"), stage.step("a"))
    execution = orchestrator.retry_failed(saga_id)

    assert execution.plan == ["b", "a"]
    assert execution.state is SagaState.SUCCEEDED
