"""Previews tell what an operation would do: a sentence, the calls with their keys, the steps that stay or are in doubt.

The tests compare each preview with the real operation.
"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sagas import ActRefused, RetryLater, SagaState, StepFailed
from sagas.definition.states import Direction
from sagas.operations import Call, Operation, Preview, perform, plan
from sagas.orchestrator import get_saga_orchestrator
from tests.support import lost

pytestmark = pytest.mark.django_db

NO = StepFailed("no")


def action(step, key):
    return Call(step, Direction.ACTION, key)


def undo(step, key):
    return Call(step, Direction.COMPENSATION, key)


def verify(step, key):
    return Call(step, Direction.VERIFY, key)


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="look")


@pytest.fixture
def preview(stage):
    """Preview an operation on "x". Assert that the preview writes nothing and calls no step."""

    def ask(operation, **parameters):
        before = len(stage.calls)
        with CaptureQueriesContext(connection) as queries:
            previewed = plan(operation, "x", **parameters)
        assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
        assert len(stage.calls) == before
        return previewed

    return ask


@pytest.fixture
def calls_of(stage, orchestrator):
    """Perform the operation on "x", resume the saga for 0.3 seconds, and return the calls."""

    def do(operation, **parameters):
        before = len(stage.calls)
        perform(operation, "x", **parameters)
        orchestrator.resume("x", max_seconds=0.3)
        return tuple(Call(call.step, call.direction, call.key) for call in stage.calls[before:])

    return do


@pytest.fixture
def execute(registered, orchestrator):
    """Return a function that executes a saga of these steps as "x" for 0.3 seconds."""
    return lambda *steps: orchestrator.execute("x", "trip", registered(*steps), max_seconds=0.3)


@pytest.fixture
def enqueue(registered, orchestrator):
    """Return a function that starts a saga of these steps as "x" for the workers."""

    def start(*steps):
        registered(*steps)
        return orchestrator.start("x", "trip")

    return start


# Previews of a retry.


def test_a_retry_of_a_failed_saga_makes_a_new_run_of_all_steps(stage, execute, preview, calls_of):
    execution = execute(stage.step("a"), stage.step("b", NO, {}))

    previewed = preview(Operation.RETRY)

    assert previewed == Preview(
        Operation.RETRY,
        "x",
        execution.version,
        "Starts run 2 from the first step, with new idempotency keys.",
        (action("a", "x:2:a"), action("b", "x:2:b")),
    )
    assert previewed.calls == calls_of(Operation.RETRY)


def test_a_retry_of_a_failed_saga_uses_the_current_definition(stage, execute, registered, preview, calls_of):
    execute(stage.step("a", NO))
    registered(stage.step("new"), stage.step("a"))

    previewed = preview(Operation.RETRY)

    assert previewed.calls == (action("new", "x:2:new"), action("a", "x:2:a"))
    assert previewed.calls == calls_of(Operation.RETRY)


def test_a_retry_names_the_steps_of_the_failed_run_in_doubt(stage, execute, preview, calls_of):
    mail = stage.step("mail", lost(), {}, undo=None, retry_count=0)
    execute(stage.step("a"), mail, stage.step("b"))

    previewed = preview(Operation.RETRY)

    assert (previewed.not_repeated, previewed.in_doubt) == ((), ("mail",))
    assert previewed.calls == (action("a", "x:2:a"), action("mail", "x:2:mail"), action("b", "x:2:b"))
    assert previewed.calls == calls_of(Operation.RETRY)


def test_a_retry_of_a_rollback_calls_only_open_compensations(stage, execute, preview, calls_of):
    execution = execute(
        stage.step("a", undo=[NO, {}]),
        stage.step("b"),
        stage.step("c", undo=[lost(), NO, {}]),
        stage.step("d", undo=None),
        stage.step("e", NO),
    )
    assert execution.state is SagaState.PARTIALLY_COMPENSATED

    previewed = preview(Operation.RETRY)

    assert previewed == Preview(
        Operation.RETRY,
        "x",
        execution.version,
        "Retries what could not be undone.",
        (undo("c", "x:1:c:undo"), undo("a", "x:1:a:undo:2")),
        not_repeated=("b", "d"),
    )
    assert previewed.calls == calls_of(Operation.RETRY)


# Previews of cancel and compensate.


def test_a_cancel_compensates_done_steps_and_those_in_doubt(stage, execute, preview, calls_of):
    execution = execute(
        stage.step("a"),
        stage.step("mail", undo=None),
        stage.step("b"),
        stage.step("c", lost(), retry_delay=3600, max_delay=3600),
    )

    previewed = preview(Operation.CANCEL)

    assert previewed == Preview(
        Operation.CANCEL,
        "x",
        execution.version,
        "Stops it and undoes what was done.",
        (undo("c", "x:1:c:undo"), undo("b", "x:1:b:undo"), undo("a", "x:1:a:undo")),
        not_repeated=("mail",),
        in_doubt=("c",),
    )
    assert previewed.calls == calls_of(Operation.CANCEL)


def test_a_cancel_of_a_pending_saga_calls_nothing(stage, enqueue, preview, calls_of):
    execution = enqueue(stage.step("a"))

    assert preview(Operation.CANCEL) == Preview(
        Operation.CANCEL, "x", execution.version, "Stops it and undoes what was done."
    )
    assert calls_of(Operation.CANCEL) == ()


def test_compensating_a_saga_begins_with_its_last_step(stage, execute, preview, calls_of):
    execution = execute(stage.step("a"), stage.step("mail", undo=None), stage.step("b"))

    previewed = preview(Operation.COMPENSATE)

    assert previewed == Preview(
        Operation.COMPENSATE,
        "x",
        execution.version,
        "Undoes everything that was done, last step first.",
        (undo("b", "x:1:b:undo"), undo("a", "x:1:a:undo")),
        not_repeated=("mail",),
    )
    assert previewed.calls == calls_of(Operation.COMPENSATE)


# Previews of hold and release.

HOLD = "Stops it {}. Nothing is undone; nothing goes on until it is released."


def test_a_waiting_saga_is_held_at_once(stage, execute, preview, calls_of):
    execution = execute(stage.step("a"), stage.step("b", RetryLater(3600)))

    assert preview(Operation.HOLD) == Preview(
        Operation.HOLD, "x", execution.version, HOLD.format("now"), not_repeated=("a",)
    )
    assert calls_of(Operation.HOLD) == ()


def test_a_running_saga_is_held_after_its_attempt(stage, execute, preview):
    previewed = []

    def running(context):
        previewed.append(preview(Operation.HOLD))
        holds(context)

    execution = execute(stage.step("a"), stage.step("b", running), stage.step("c"))

    sentence = HOLD.format("after the current step")
    assert previewed == [Preview(Operation.HOLD, "x", 2, sentence, not_repeated=("a",))]
    assert execution.held == "Held by an operator: look"
    assert stage.told == ["a", "b"]


RELEASE = "Goes on where it stopped, with a fresh retry budget and the same idempotency keys."


def test_a_release_goes_on_with_the_step_that_comes_next(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", holds), stage.step("b", RetryLater(3600)))

    previewed = preview(Operation.RELEASE)

    assert previewed == Preview(
        Operation.RELEASE, "x", execution.version, RELEASE, (action("b", "x:1:b"),), not_repeated=("a",)
    )
    assert previewed.calls == calls_of(Operation.RELEASE)


def test_a_release_ends_the_wait_of_the_held_saga(stage, execute, preview):
    execute(stage.step("a", RetryLater(3600), {}))
    perform(Operation.HOLD, "x")

    assert preview(Operation.RELEASE).calls == (action("a", "x:1:a"),)


def test_a_release_of_a_rollback_goes_on_with_the_next_compensation(stage, execute, preview, calls_of):
    execute(stage.step("a", undo=[{}]), stage.step("b", undo=[holds]), stage.step("c", NO))

    previewed = preview(Operation.RELEASE)

    assert (previewed.calls, previewed.not_repeated) == ((undo("a", "x:1:a:undo"),), ("b",))
    assert previewed.calls == calls_of(Operation.RELEASE)


def test_a_release_after_the_last_step_calls_nothing(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", holds))

    assert preview(Operation.RELEASE) == Preview(
        Operation.RELEASE, "x", execution.version, RELEASE, not_repeated=("a",)
    )
    assert calls_of(Operation.RELEASE) == ()


def test_a_release_of_an_unregistered_saga_lists_no_calls(stage, execute, registered, preview):
    execute(stage.step("a", holds), stage.step("b"))
    registered.forget()

    assert preview(Operation.RELEASE).calls == ()


# Previews of verify and resolve.


def test_a_verify_asks_about_the_verifiable_steps_in_doubt(stage, execute, preview, calls_of):
    execution = execute(
        stage.step("a", lost(), undo=None, optional=True, retry_count=0),
        stage.step("b", verify=[{}]),
        stage.step("c", lost(), verify=[RetryLater(3600)], idempotent=False),
    )

    previewed = preview(Operation.VERIFY)

    assert previewed == Preview(
        Operation.VERIFY,
        "x",
        execution.version,
        "Asks the providers what really happened, and changes nothing there.",
        (verify("c", "x:1:c"),),
        not_repeated=("b",),
        in_doubt=("a", "c"),
    )
    assert previewed.calls == calls_of(Operation.VERIFY)


def test_a_resolution_calls_no_provider(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", undo=[NO]), stage.step("b"), stage.step("c", NO))
    word = {"step": "a", "outcome": "undone"}

    assert preview(Operation.RESOLVE, **word) == Preview(
        Operation.RESOLVE,
        "x",
        execution.version,
        "Records what really happened to a step, with evidence. No provider is called for it.",
        not_repeated=("a", "b"),
    )
    assert calls_of(Operation.RESOLVE, **word) == ()


def test_an_impossible_resolution_has_no_preview(stage, execute, preview):
    execute(stage.step("a", undo=[NO]), stage.step("b", NO))

    with pytest.raises(ActRefused) as refused:
        preview(Operation.RESOLVE, step="b", outcome="undone")

    assert str(refused.value) == (
        "resolve of 'x' is not possible: step 'b' has nothing to undo. Possible now: retry, resolve."
    )


# Previews of acknowledge and correct.


def test_an_acknowledgement_changes_nothing_else(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", ValueError(), retry_count=0))

    assert preview(Operation.ACKNOWLEDGE) == Preview(
        Operation.ACKNOWLEDGE,
        "x",
        execution.version,
        "Removes it from the list of cases that need attention. Nothing else changes.",
    )
    assert calls_of(Operation.ACKNOWLEDGE) == ()


def test_a_correction_of_a_failed_saga_is_used_by_its_next_run(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", NO))

    sentence = "Replaces the input. The next retry uses it."
    assert preview(Operation.CORRECT) == Preview(Operation.CORRECT, "x", execution.version, sentence)
    assert calls_of(Operation.CORRECT, context={"n": 1}) == ()


def test_a_correction_of_a_held_saga_is_used_after_its_release(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", holds), stage.step("b"))

    sentence = "Replaces the input. It is used after the release."
    assert preview(Operation.CORRECT) == Preview(
        Operation.CORRECT, "x", execution.version, sentence, not_repeated=("a",)
    )
    assert calls_of(Operation.CORRECT, context={"n": 1}) == ()


# Previews of every operation.


def test_an_operation_can_be_bound_to_the_version_of_its_preview(stage, execute, preview):
    execute(stage.step("a", holds), stage.step("b"))
    previewed = preview(Operation.RELEASE)
    perform(Operation.CORRECT, "x", context={"n": 1})

    with pytest.raises(ActRefused) as refused:
        perform(Operation.RELEASE, "x", version=previewed.version)
    assert str(refused.value) == (
        "release of 'x' is not possible: it has changed since you looked at it. Look again, then decide. "
        "Possible now: cancel, release, resolve, correct."
    )

    perform(Operation.RELEASE, "x", version=preview(Operation.RELEASE).version)


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (Operation.RETRY, "it can be retried only after it failed, and it is “Succeeded”."),
        (Operation.CANCEL, "it is too late to cancel: it is “Succeeded”."),
        (Operation.HOLD, "it has ended."),
        (Operation.RELEASE, "it is not on hold."),
        (Operation.VERIFY, "it has no step in doubt that a provider can be asked about."),
        (Operation.RESOLVE, "a step can be marked as resolved only while the case is on hold or partly undone."),
        (Operation.ACKNOWLEDGE, "it can be acknowledged only after it failed, and it is “Succeeded”."),
        (
            Operation.CORRECT,
            "its input can be corrected only after it failed, or on hold before the first attempt of a step.",
        ),
    ],
)
def test_an_impossible_operation_has_no_preview(stage, execute, preview, operation, sentence):
    execute(stage.step("a"))

    with pytest.raises(ActRefused) as refused:
        preview(operation)

    assert str(refused.value) == f"{operation} of 'x' is not possible: {sentence} Possible now: compensate."
    assert (refused.value.operation, refused.value.saga_id, refused.value.allowed) == (
        operation,
        "x",
        (Operation.COMPENSATE,),
    )


def test_compensating_an_unfinished_saga_has_no_preview(stage, execute, preview):
    execute(stage.step("a", RetryLater(3600)))

    with pytest.raises(ActRefused) as refused:
        preview(Operation.COMPENSATE)

    assert str(refused.value) == (
        "compensate of 'x' is not possible: it can be undone only after it succeeded, "
        "and it is “In progress”. Possible now: cancel, hold."
    )


def test_a_release_after_a_final_failure_lists_the_step_it_retries(stage, execute, preview, calls_of):
    execute(stage.step("pay", pivot=True, undo=None), stage.step("mail", StepFailed("no"), {}, undo=None))

    previewed = preview(Operation.RELEASE)

    assert previewed.calls == (Call("mail", Direction.ACTION, "x:1:mail"),)
    assert previewed.calls == calls_of(Operation.RELEASE)


def test_a_cancel_lists_the_compensation_of_the_running_step(stage, execute, preview):
    previewed = []

    def running(context):
        previewed.append(plan(Operation.CANCEL, "x"))
        perform(Operation.CANCEL, "x")

    execute(stage.step("a"), stage.step("b", running), stage.step("c"))

    undone = [Call(call.step, call.direction, call.key) for call in stage.calls[2:]]
    assert list(previewed[0].calls) == undone
    assert [call.step for call in undone] == ["b", "a"]
