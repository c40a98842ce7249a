"""What an act would do, told before it is done: a sentence, the calls with their keys, what stays, what is in doubt.

Each preview is compared with what the act then does.
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
    """Asks for a preview of "x", for which nothing may be written and no step called."""

    def ask(operation, **parameters):
        before = len(stage.calls)
        with CaptureQueriesContext(connection) as queries:
            told = plan(operation, "x", **parameters)
        assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
        assert len(stage.calls) == before
        return told

    return ask


@pytest.fixture
def calls_of(stage, orchestrator):
    """Does it, goes on with the saga for a moment, and tells the calls that made."""

    def do(operation, **parameters):
        before = len(stage.calls)
        perform(operation, "x", **parameters)
        orchestrator.resume("x", max_seconds=0.3)
        return tuple(Call(call.step, call.direction, call.key) for call in stage.calls[before:])

    return do


@pytest.fixture
def execute(registered, orchestrator):
    """Executes "x", a saga of these steps, for a moment."""
    return lambda *steps: orchestrator.execute("x", "trip", registered(*steps), max_seconds=0.3)


@pytest.fixture
def enqueue(registered, orchestrator):
    """Queues "x", a saga of these steps."""

    def start(*steps):
        registered(*steps)
        return orchestrator.start("x", "trip")

    return start


# Retry.


def test_a_retry_of_a_failed_saga_makes_a_new_run_of_all_steps(stage, execute, preview, calls_of):
    execution = execute(stage.step("a"), stage.step("b", NO, {}))

    told = preview(Operation.RETRY)

    assert told == Preview(
        Operation.RETRY,
        "x",
        execution.version,
        "Starts run 2 from the first step, with new idempotency keys.",
        (action("a", "x:2:a"), action("b", "x:2:b")),
    )
    assert told.calls == calls_of(Operation.RETRY)


def test_a_retry_of_a_failed_saga_goes_by_todays_definition(stage, execute, registered, preview, calls_of):
    execute(stage.step("a", NO))
    registered(stage.step("new"), stage.step("a"))

    told = preview(Operation.RETRY)

    assert told.calls == (action("new", "x:2:new"), action("a", "x:2:a"))
    assert told.calls == calls_of(Operation.RETRY)


def test_a_retry_tells_which_steps_of_the_failed_run_are_still_in_doubt(stage, execute, preview, calls_of):
    mail = stage.step("mail", lost(), {}, undo=None, retry_count=0)
    execute(stage.step("a"), mail, stage.step("b"))

    told = preview(Operation.RETRY)

    assert (told.not_repeated, told.in_doubt) == ((), ("mail",))
    assert told.calls == (action("a", "x:2:a"), action("mail", "x:2:mail"), action("b", "x:2:b"))
    assert told.calls == calls_of(Operation.RETRY)


def test_a_retry_of_what_is_not_undone_leaves_the_rest_alone(stage, execute, preview, calls_of):
    execution = execute(
        stage.step("a", undo=[NO, {}]),
        stage.step("b"),
        stage.step("c", undo=[lost(), NO, {}]),
        stage.step("d", undo=None),
        stage.step("e", NO),
    )
    assert execution.state is SagaState.PARTIALLY_COMPENSATED

    told = preview(Operation.RETRY)

    assert told == Preview(
        Operation.RETRY,
        "x",
        execution.version,
        "Tries again to undo what is not undone.",
        (undo("c", "x:1:c:undo"), undo("a", "x:1:a:undo:2")),
        not_repeated=("b", "d"),
    )
    assert told.calls == calls_of(Operation.RETRY)


# Cancel, compensate.


def test_a_cancel_undoes_what_was_done_and_what_may_have_been(stage, execute, preview, calls_of):
    execution = execute(
        stage.step("a"),
        stage.step("mail", undo=None),
        stage.step("b"),
        stage.step("c", lost(), retry_delay=3600, max_delay=3600),
    )

    told = preview(Operation.CANCEL)

    assert told == Preview(
        Operation.CANCEL,
        "x",
        execution.version,
        "Stops it, and undoes what was done.",
        (undo("c", "x:1:c:undo"), undo("b", "x:1:b:undo"), undo("a", "x:1:a:undo")),
        not_repeated=("mail",),
        in_doubt=("c",),
    )
    assert told.calls == calls_of(Operation.CANCEL)


def test_a_cancel_of_a_saga_that_has_not_begun_undoes_nothing(stage, enqueue, preview, calls_of):
    execution = enqueue(stage.step("a"))

    assert preview(Operation.CANCEL) == Preview(
        Operation.CANCEL, "x", execution.version, "Stops it, and undoes what was done."
    )
    assert calls_of(Operation.CANCEL) == ()


def test_undoing_a_finished_saga_begins_with_its_last_step(stage, execute, preview, calls_of):
    execution = execute(stage.step("a"), stage.step("mail", undo=None), stage.step("b"))

    told = preview(Operation.COMPENSATE)

    assert told == Preview(
        Operation.COMPENSATE,
        "x",
        execution.version,
        "Undoes all that was done, last step first.",
        (undo("b", "x:1:b:undo"), undo("a", "x:1:a:undo")),
        not_repeated=("mail",),
    )
    assert told.calls == calls_of(Operation.COMPENSATE)


# Hold, release.

HOLD = "It stops {}; nothing is undone, and nothing goes on until somebody releases it."


def test_a_hold_of_a_waiting_saga_parks_it_at_once(stage, execute, preview, calls_of):
    execution = execute(stage.step("a"), stage.step("b", RetryLater(3600)))

    assert preview(Operation.HOLD) == Preview(
        Operation.HOLD, "x", execution.version, HOLD.format("now"), not_repeated=("a",)
    )
    assert calls_of(Operation.HOLD) == ()


def test_a_hold_of_a_running_saga_parks_it_after_its_attempt(stage, execute, preview):
    told = []

    def running(context):
        told.append(preview(Operation.HOLD))
        holds(context)

    execution = execute(stage.step("a"), stage.step("b", running), stage.step("c"))

    sentence = HOLD.format("as soon as the step under way has ended")
    assert told == [Preview(Operation.HOLD, "x", 2, sentence, not_repeated=("a",))]
    assert execution.held == "Held by an operator: look"
    assert stage.told == ["a", "b"]


RELEASE = "Goes on from where it stands, with a fresh budget of retries and the same idempotency keys."


def test_a_release_goes_on_with_the_step_that_comes_next(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", holds), stage.step("b", RetryLater(3600)))

    told = preview(Operation.RELEASE)

    assert told == Preview(
        Operation.RELEASE, "x", execution.version, RELEASE, (action("b", "x:1:b"),), not_repeated=("a",)
    )
    assert told.calls == calls_of(Operation.RELEASE)


def test_a_release_does_not_wait_for_what_the_held_saga_waited_for_and_tells_so(stage, execute, preview):
    execute(stage.step("a", RetryLater(3600), {}))
    perform(Operation.HOLD, "x")

    assert preview(Operation.RELEASE).calls == (action("a", "x:1:a"),)


def test_a_release_of_a_rollback_goes_on_with_the_undo_that_comes_next(stage, execute, preview, calls_of):
    execute(stage.step("a", undo=[{}]), stage.step("b", undo=[holds]), stage.step("c", NO))

    told = preview(Operation.RELEASE)

    assert (told.calls, told.not_repeated) == ((undo("a", "x:1:a:undo"),), ("b",))
    assert told.calls == calls_of(Operation.RELEASE)


def test_a_release_after_the_last_step_calls_nothing(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", holds))

    assert preview(Operation.RELEASE) == Preview(
        Operation.RELEASE, "x", execution.version, RELEASE, not_repeated=("a",)
    )
    assert calls_of(Operation.RELEASE) == ()


def test_a_release_tells_no_calls_where_the_definition_is_unknown(stage, execute, registered, preview):
    execute(stage.step("a", holds), stage.step("b"))
    registered.forget()

    assert preview(Operation.RELEASE).calls == ()


# Verify, resolve.


def test_a_verify_asks_about_the_steps_in_doubt_that_can_be_asked_about(stage, execute, preview, calls_of):
    execution = execute(
        stage.step("a", lost(), undo=None, optional=True, retry_count=0),
        stage.step("b", verify=[{}]),
        stage.step("c", lost(), verify=[RetryLater(3600)], idempotent=False),
    )

    told = preview(Operation.VERIFY)

    assert told == Preview(
        Operation.VERIFY,
        "x",
        execution.version,
        "Asks the providers what really happened; changes nothing there.",
        (verify("c", "x:1:c"),),
        not_repeated=("b",),
        in_doubt=("a", "c"),
    )
    assert told.calls == calls_of(Operation.VERIFY)


def test_a_word_on_a_step_calls_nobody(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", undo=[NO]), stage.step("b"), stage.step("c", NO))
    word = {"step": "a", "outcome": "undone"}

    assert preview(Operation.RESOLVE, **word) == Preview(
        Operation.RESOLVE,
        "x",
        execution.version,
        "Puts down, with your evidence, what has become of the step; no provider is called for it.",
        not_repeated=("a", "b"),
    )
    assert calls_of(Operation.RESOLVE, **word) == ()


def test_a_word_that_cannot_be_taken_is_refused_before_it_is_given(stage, execute, preview):
    execute(stage.step("a", undo=[NO]), stage.step("b", NO))

    with pytest.raises(ActRefused) as refused:
        preview(Operation.RESOLVE, step="b", outcome="undone")

    assert str(refused.value) == (
        "resolve of 'x' is not possible: step 'b' has nothing to be undone. Possible now: retry, resolve."
    )


# Acknowledge, correct.


def test_an_acknowledgement_changes_nothing_else(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", ValueError(), retry_count=0))

    assert preview(Operation.ACKNOWLEDGE) == Preview(
        Operation.ACKNOWLEDGE,
        "x",
        execution.version,
        "Takes it off the list of those that need attention; nothing else changes.",
    )
    assert calls_of(Operation.ACKNOWLEDGE) == ()


def test_a_correction_of_a_failed_saga_is_for_its_next_run(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", NO))

    sentence = "The input is replaced, and counts when it is tried again."
    assert preview(Operation.CORRECT) == Preview(Operation.CORRECT, "x", execution.version, sentence)
    assert calls_of(Operation.CORRECT, context={"n": 1}) == ()


def test_a_correction_of_a_held_saga_is_for_its_release(stage, execute, preview, calls_of):
    execution = execute(stage.step("a", holds), stage.step("b"))

    sentence = "The input is replaced, and counts once it is released."
    assert preview(Operation.CORRECT) == Preview(
        Operation.CORRECT, "x", execution.version, sentence, not_repeated=("a",)
    )
    assert calls_of(Operation.CORRECT, context={"n": 1}) == ()


# All of them.


def test_what_a_preview_told_can_be_made_to_hold(stage, execute, preview):
    """The act is done only if nothing has moved since it was previewed."""
    execute(stage.step("a", holds), stage.step("b"))
    told = preview(Operation.RELEASE)
    perform(Operation.CORRECT, "x", context={"n": 1})

    with pytest.raises(ActRefused) as refused:
        perform(Operation.RELEASE, "x", version=told.version)
    assert str(refused.value) == (
        "release of 'x' is not possible: it has moved since you looked; look again and decide then. "
        "Possible now: cancel, release, resolve, correct."
    )

    perform(Operation.RELEASE, "x", version=preview(Operation.RELEASE).version)


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (Operation.RETRY, "only what has failed can be tried again, and this is “Succeeded”."),
        (Operation.CANCEL, "its state is “Succeeded”."),
        (Operation.HOLD, "its state is “Succeeded”."),
        (Operation.RELEASE, "it is not held."),
        (Operation.VERIFY, "no step is in doubt that its provider can be asked about."),
        (Operation.RESOLVE, "a step can be resolved by hand only while the case is held or partly undone."),
        (Operation.ACKNOWLEDGE, "only what has failed can be acknowledged, and this is “Succeeded”."),
        (
            Operation.CORRECT,
            "its input can be corrected once it has failed, or while it is held and its current step is untried.",
        ),
    ],
)
def test_no_preview_of_what_is_not_possible(stage, execute, preview, operation, sentence):
    execute(stage.step("a"))

    with pytest.raises(ActRefused) as refused:
        preview(operation)

    assert str(refused.value) == f"{operation} of 'x' is not possible: {sentence} Possible now: compensate."
    assert (refused.value.operation, refused.value.saga_id, refused.value.allowed) == (
        operation,
        "x",
        (Operation.COMPENSATE,),
    )


def test_no_preview_of_undoing_what_has_not_finished(stage, execute, preview):
    execute(stage.step("a", RetryLater(3600)))

    with pytest.raises(ActRefused) as refused:
        preview(Operation.COMPENSATE)

    assert str(refused.value) == (
        "compensate of 'x' is not possible: only what has succeeded can be undone as a whole, "
        "and this is “In progress”. Possible now: cancel, hold."
    )


def test_a_release_after_a_final_failure_tells_the_step_that_it_tries_again(stage, execute, preview, calls_of):
    execute(stage.step("pay", pivot=True, undo=None), stage.step("mail", StepFailed("no"), {}, undo=None))

    told = preview(Operation.RELEASE)

    assert told.calls == (Call("mail", Direction.ACTION, "x:1:mail"),)
    assert told.calls == calls_of(Operation.RELEASE)


def test_a_cancel_of_a_running_saga_tells_that_the_step_which_runs_may_be_undone(stage, execute, preview):
    told = []

    def running(context):
        told.append(plan(Operation.CANCEL, "x"))
        perform(Operation.CANCEL, "x")

    execute(stage.step("a"), stage.step("b", running), stage.step("c"))

    undone = [Call(call.step, call.direction, call.key) for call in stage.calls[2:]]
    assert list(told[0].calls) == undone
    assert [call.step for call in undone] == ["b", "a"]
