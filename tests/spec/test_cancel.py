"""Promise 9: an accepted cancel is always obeyed; a hold gives way to it."""

import pytest

from sagas import ActRefused, RetryLater, SagaState, StepFailed
from sagas.orchestrator import get_saga_orchestrator
from tests.support import lost, new_id

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(registered, orchestrator):
    """Return a function that executes a registered saga of these steps."""
    return lambda *steps: orchestrator.execute(new_id(), "trip", registered(*steps))


def cancels(outcome=None):
    """Return a step function that requests a cancel while it runs."""

    def function(context):
        get_saga_orchestrator().cancel(context.saga_id, reason="the customer called")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return function


def test_a_saga_that_has_not_begun_is_cancelled_at_once(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id

    execution = orchestrator.cancel(saga_id, reason="a mistake")

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == ""
    assert execution.finished_at
    assert not execution.needs_attention
    assert orchestrator.resume(saga_id).state is SagaState.FAILED
    assert stage.told == []


def test_a_request_during_a_step_undoes_it_after_its_success(stage, run):
    execution = run(stage.step("a"), stage.step("b", cancels({"id": 2})), stage.step("c"))

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == ""
    assert execution.steps_completed == ["a", "b"]
    assert execution.context == {"id": 2}
    assert stage.told == ["a", "b", "b.undo", "a.undo"]
    assert [event.kind for event in execution.events.order_by("id")] == ["cancel", "cancelled"]
    assert not execution.needs_attention
    assert execution.pending_request is None


def test_a_request_during_the_last_step_undoes_all(stage, run):
    execution = run(stage.step("a"), stage.step("b", cancels({"id": 2})))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "b", "b.undo", "a.undo"]


def test_a_request_during_the_step_before_the_pivot_prevents_the_pivot(stage, run):
    execution = run(stage.step("a", cancels()), stage.step("b", pivot=True))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "a.undo"]


@pytest.mark.parametrize(
    ("error", "undone"), [(ValueError(), []), (RetryLater(60), []), (lost(), ["b.undo"])], ids=repr
)
def test_a_request_during_an_attempt_that_would_be_repeated_ends_it(stage, run, error, undone):
    execution = run(stage.step("a"), stage.step("b", cancels(error)))

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == ""
    assert stage.told == ["a", "b", *undone, "a.undo"]


def test_a_request_during_a_final_failure_changes_nothing(stage, run):
    execution = run(stage.step("a"), stage.step("b", cancels(StepFailed("no"))))

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == "b"
    assert stage.told == ["a", "b", "a.undo"]
    assert execution.pending_request is None


def test_a_waiting_saga_is_cancelled_and_undone(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("b", RetryLater(3600)))
    saga_id = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.3).saga_id

    execution = orchestrator.cancel(saga_id)
    assert execution.state is SagaState.COMPENSATING
    execution = orchestrator.resume(saga_id)

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "b", "a.undo"]


def test_a_waiting_saga_with_nothing_to_undo_is_cancelled_at_once(stage, registered, orchestrator):
    saga = registered(stage.step("a", RetryLater(3600)))
    saga_id = orchestrator.execute(new_id(), "trip", saga, max_seconds=0).saga_id

    assert orchestrator.cancel(saga_id).state is SagaState.FAILED


def refused_in(operation):
    """Return a step function in which the operation is refused, and the list of the refusals."""
    sentences = []

    def function(context):
        with pytest.raises(ActRefused) as refused:
            getattr(get_saga_orchestrator(), operation)(context.saga_id)
        sentences.append(refused.value.sentence)

    return function, sentences


def test_nothing_is_cancelled_while_the_pivot_runs_nor_after_it(stage, run):
    during, sentences = refused_in("cancel")
    execution = run(stage.step("a"), stage.step("b", during, pivot=True), stage.step("c", during, undo=None))

    assert execution.state is SagaState.SUCCEEDED
    assert sentences == ["it has reached its point of no return."] * 2


def test_nothing_is_cancelled_while_the_first_step_is_a_pivot_that_runs(stage, run):
    during, sentences = refused_in("cancel")
    execution = run(stage.step("a", during, pivot=True))

    assert execution.state is SagaState.SUCCEEDED
    assert sentences == ["it has reached its point of no return."]


def test_a_saga_can_be_cancelled_between_two_attempts_of_the_pivot(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("b", RetryLater(3600), pivot=True))
    saga_id = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.3).saga_id

    orchestrator.cancel(saga_id)

    assert orchestrator.resume(saga_id).state is SagaState.FAILED
    assert stage.told == ["a", "b", "a.undo"]


def test_an_undo_is_not_cancelled(stage, run):
    during, sentences = refused_in("cancel")
    execution = run(stage.step("a", undo=[during]), stage.step("b", StepFailed("no")))

    assert execution.state is SagaState.FAILED
    assert sentences == ["it is too late to cancel: it is “Undoing”."]


def test_a_second_request_is_refused(stage, run):
    def twice(context):
        orchestrator = get_saga_orchestrator()
        orchestrator.cancel(context.saga_id)
        with pytest.raises(ActRefused) as refused:
            orchestrator.cancel(context.saga_id)
        assert refused.value.sentence == "it is already being cancelled."

    execution = run(stage.step("a", twice))

    assert execution.state is SagaState.FAILED
    assert execution.events.filter(kind="cancel").count() == 1


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ({}, "it is too late to cancel: it is “Succeeded”."),
        (StepFailed("no"), "it is too late to cancel: it is “Failed”."),
    ],
)
def test_a_finished_saga_is_not_cancelled(stage, registered, orchestrator, outcome, sentence):
    execution = orchestrator.execute(new_id(), "trip", registered(stage.step("a", outcome)))

    with pytest.raises(ActRefused) as refused:
        orchestrator.cancel(execution.saga_id)

    assert refused.value.sentence == sentence
    assert not execution.events.exists()


def test_cancel_overrides_a_hold_that_was_asked_for(stage, run):
    def both(context):
        get_saga_orchestrator().hold(context.saga_id, reason="wait")
        get_saga_orchestrator().cancel(context.saga_id, reason="no, away with it")

    execution = run(stage.step("a", both), stage.step("b"))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "a.undo"]


# Tests of hold and release.


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="stop here")


def test_a_hold_parks_the_saga_after_the_attempt_that_runs(stage, registered, orchestrator):
    saga = registered(stage.step("a", holds), stage.step("b"))
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert execution.state is SagaState.IN_PROGRESS
    assert execution.held == "Held by an operator: stop here"
    assert execution.needs_attention
    assert execution.due_at is None
    assert stage.told == ["a"]

    orchestrator.release(execution.saga_id)
    assert orchestrator.resume(execution.saga_id).state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b"]


def test_a_hold_during_the_last_step_waits_with_the_end(stage, registered, orchestrator):
    saga = registered(stage.step("a", holds))
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert (execution.state, execution.steps_completed) == (SagaState.IN_PROGRESS, ["a"])

    orchestrator.release(execution.saga_id)

    assert orchestrator.resume(execution.saga_id).state is SagaState.SUCCEEDED
    assert stage.told == ["a"]


def test_a_saga_that_has_not_begun_can_be_held_and_released(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id

    execution = orchestrator.hold(saga_id, reason="not yet")
    assert (execution.state, execution.held) == (SagaState.PENDING, "Held by an operator: not yet")
    assert orchestrator.resume(saga_id).state is SagaState.PENDING

    orchestrator.release(saga_id)
    assert orchestrator.resume(saga_id).state is SagaState.SUCCEEDED


def test_an_undo_can_be_held_and_goes_on_when_released(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("b", undo=[holds]), stage.step("c", StepFailed("no")))
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert (execution.state, bool(execution.held)) == (SagaState.COMPENSATING, True)

    orchestrator.release(execution.saga_id)

    assert orchestrator.resume(execution.saga_id).state is SagaState.FAILED
    assert stage.told == ["a", "b", "c", "b.undo", "a.undo"]


def test_a_held_saga_can_be_cancelled(stage, registered, orchestrator):
    saga = registered(stage.step("a", holds), stage.step("b"))
    saga_id = orchestrator.execute(new_id(), "trip", saga).saga_id

    orchestrator.cancel(saga_id)
    execution = orchestrator.resume(saga_id)

    assert (execution.state, execution.held) == (SagaState.FAILED, "")
    assert stage.told == ["a", "a.undo"]


def test_a_saga_that_is_not_held_is_not_released(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id

    with pytest.raises(ActRefused) as refused:
        orchestrator.release(saga_id)

    assert str(refused.value) == (
        f"release of {saga_id!r} is not possible: it is not on hold. Possible now: cancel, hold."
    )
