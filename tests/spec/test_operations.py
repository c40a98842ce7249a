"""Promise 16: which acts each situation allows, why not the others, and what becomes of two operators at once."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F

from sagas import ActRefused, RetryLater, SagaState, StepFailed, storage
from sagas.models import SagaExecution
from sagas.operations import Actor, Operation, allowed, blocked_reasons, perform
from sagas.orchestrator import get_saga_orchestrator
from sagas.presentation.execution_view import load_view
from tests.support import let_wait_pass, lost, new_id

pytestmark = pytest.mark.django_db

NO = StepFailed("no")


def sentences(state, **others):
    """Why each act is not possible in that state, unless `others` say something else; "" where it is."""
    return {
        "retry": f"only what has failed can be tried again, and this is “{state}”.",
        "cancel": f"its state is “{state}”.",
        "compensate": f"only what has succeeded can be undone as a whole, and this is “{state}”.",
        "hold": f"its state is “{state}”.",
        "release": "it is not held.",
        "verify": "no step is in doubt that its provider can be asked about.",
        "resolve": "a step can be resolved by hand only while the case is held or partly undone.",
        "acknowledge": f"only what has failed can be acknowledged, and this is “{state}”.",
        "correct": (
            "its input can be corrected once it has failed, or while it is held and its current step is untried."
        ),
    } | others


@pytest.fixture
def execute(registered, orchestrator):
    """Executes a saga of these steps for a moment; its id."""
    return lambda *steps: orchestrator.execute(new_id(), "trip", registered(*steps), max_seconds=0.3).saga_id


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="look")


def assert_allowed(saga_id, expected):
    assert blocked_reasons(load_view(saga_id)) == expected
    assert allowed(saga_id) == tuple(Operation(operation) for operation, sentence in expected.items() if not sentence)


def test_a_saga_that_has_not_begun_can_be_cancelled_or_held(stage, registered, orchestrator):
    registered(stage.step("a"))

    assert_allowed(orchestrator.start(new_id(), "trip").saga_id, sentences("Pending", cancel="", hold=""))


def test_a_waiting_saga_can_be_cancelled_or_held(stage, execute):
    saga_id = execute(stage.step("a", RetryLater(3600)))

    assert_allowed(saga_id, sentences("In progress", cancel="", hold=""))


def test_a_saga_whose_pivot_runs_can_only_be_held(stage, execute):
    def running(context):
        passing = "its point of no return is being passed, or is behind it."
        assert_allowed(context.saga_id, sentences("In progress", cancel=passing, hold=""))
        return {"seen": True}

    saga_id = execute(stage.step("a", running, pivot=True))

    assert SagaExecution.objects.get(saga_id=saga_id).context == {"seen": True}


def test_a_saga_that_is_being_cancelled_can_only_be_awaited(stage, execute):
    def cancelled(context):
        perform(Operation.CANCEL, context.saga_id)
        cancel, hold = "it is being cancelled already.", "it is about to be held or cancelled already."
        assert_allowed(context.saga_id, sentences("In progress", cancel=cancel, hold=hold))
        return {"seen": True}

    saga_id = execute(stage.step("a", cancelled))

    assert SagaExecution.objects.get(saga_id=saga_id).context == {"seen": True}


def test_a_saga_held_before_a_step_can_be_cancelled_released_resolved_or_corrected(stage, execute):
    saga_id = execute(stage.step("a", holds), stage.step("b"))

    held = "it is held already."
    assert_allowed(saga_id, sentences("In progress", cancel="", hold=held, release="", resolve="", correct=""))


def test_a_saga_held_after_its_pivot_can_be_released_or_resolved(stage, execute):
    saga_id = execute(stage.step("a", pivot=True), stage.step("b", NO, undo=None))

    passed, held = "its point of no return is being passed, or is behind it.", "it is held already."
    assert_allowed(saga_id, sentences("In progress", cancel=passed, hold=held, release="", resolve=""))


def test_a_rollback_that_waits_can_only_be_held(stage, execute):
    saga_id = execute(stage.step("a", undo=[RetryLater(3600)]), stage.step("b", NO))

    assert_allowed(saga_id, sentences("Undoing", hold=""))


def test_a_finished_saga_can_be_undone(stage, execute):
    assert_allowed(execute(stage.step("a")), sentences("Succeeded", compensate=""))


def test_a_finished_saga_whose_pivot_is_behind_it_stays_as_it_is(stage, execute):
    saga_id = execute(stage.step("a", pivot=True))

    assert_allowed(saga_id, sentences("Succeeded", compensate="its point of no return is behind it."))


def test_a_failed_saga_can_be_retried_or_corrected(stage, execute):
    not_needed = "it does not need attention."

    assert_allowed(execute(stage.step("a", NO)), sentences("Failed", retry="", acknowledge=not_needed, correct=""))


def test_a_failed_saga_that_needs_attention_can_be_acknowledged_too(stage, execute):
    saga_id = execute(stage.step("a", ValueError(), retry_count=0))

    assert_allowed(saga_id, sentences("Failed", retry="", acknowledge="", correct=""))


def test_what_is_not_undone_can_be_retried_or_resolved(stage, execute):
    saga_id = execute(stage.step("a", undo=[NO]), stage.step("b", NO))

    assert_allowed(saga_id, sentences("Partly undone", retry="", resolve=""))


@pytest.fixture
def in_doubt(stage, execute):
    """A saga that waits to ask about its second step."""
    return execute(stage.step("a"), stage.step("b", lost(), idempotent=False, verify=[{"id": 7}]))


def test_a_saga_in_doubt_can_be_asked_about(in_doubt):
    assert_allowed(in_doubt, sentences("In progress", cancel="", hold="", verify=""))


def test_a_saga_in_doubt_that_an_operator_holds_is_released_before_it_is_asked_about(in_doubt):
    perform(Operation.HOLD, in_doubt)

    held, first = "it is held already.", "it is held; release it first."
    expected = sentences("In progress", cancel="", hold=held, release="", verify=first, resolve="")
    assert_allowed(in_doubt, expected)


def test_a_saga_that_is_about_to_be_asked_about_is_busy(stage, execute, registered, orchestrator):
    saga_id = execute(stage.step("a", lost(), undo=[NO], verify=[ValueError()], retry_count=0))
    let_wait_pass(orchestrator.get_status(saga_id))
    execution = orchestrator.resume(saga_id)
    assert_allowed(saga_id, sentences("Partly undone", retry="", verify="", resolve=""))

    perform(Operation.VERIFY, saga_id)

    busy = "it is being worked on right now; wait for that to end."
    assert_allowed(saga_id, sentences("Partly undone", retry=busy, verify=busy, resolve=busy))
    assert execution.needs_attention


UNKNOWN = "no saga named 'trip' is registered here."


def test_a_finished_saga_that_is_not_registered_here_stays_as_it_is(stage, execute, registered):
    saga_id = execute(stage.step("a"))
    registered.forget()

    assert_allowed(saga_id, sentences("Succeeded", compensate=UNKNOWN, verify=UNKNOWN))


def test_a_waiting_saga_that_is_not_registered_here_can_only_be_held(stage, execute, registered):
    saga_id = execute(stage.step("a", RetryLater(3600)))
    registered.forget()

    assert_allowed(saga_id, sentences("In progress", cancel=UNKNOWN, hold="", verify=UNKNOWN))


# A person's word on a step, while the saga is on its way forward.


@pytest.mark.parametrize(
    ("step", "outcome", "sentence"),
    [
        ("c", "undone", "nothing is being undone; say done or not_done."),
        ("a", "not_done", "it stands at step 'c', and step 'a' is not in doubt."),
    ],
)
def test_a_word_that_does_not_fit_where_the_saga_stands_is_refused(stage, execute, step, outcome, sentence):
    saga_id = execute(stage.step("a"), stage.step("b", holds), stage.step("c"))

    with pytest.raises(ActRefused) as refused:
        perform(Operation.RESOLVE, saga_id, step=step, outcome=outcome)

    assert str(refused.value) == (
        f"resolve of {saga_id!r} is not possible: {sentence} Possible now: cancel, release, resolve, correct."
    )


def test_a_word_on_a_saga_that_an_operator_holds_does_not_release_it(stage, orchestrator, in_doubt):
    perform(Operation.HOLD, in_doubt, reason="the provider is looking")

    execution = perform(Operation.RESOLVE, in_doubt, step="b", outcome="done", output={"id": 7})

    assert execution.held == "Held by an operator: the provider is looking"
    assert (execution.steps_completed, execution.context) == (["a", "b"], {"id": 7})
    assert orchestrator.resume(in_doubt).state is SagaState.IN_PROGRESS

    perform(Operation.RELEASE, in_doubt)
    assert orchestrator.resume(in_doubt).state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b"]


def test_an_act_keeps_the_name_of_a_user_who_is_deleted_later(stage, execute):
    user = User.objects.create_user("maria")
    saga_id = execute(stage.step("a", RetryLater(3600)))

    execution = perform(Operation.HOLD, saga_id, reason="look", by=Actor(user=user, source="admin"))
    assert execution.held == "Held by maria: look"
    assert execution.events.get().actor == user
    user.delete()

    event = execution.events.get()
    assert (event.actor, event.actor_name, event.source, event.reason) == (None, "maria", "admin", "look")


# Two at once. What moves an execution between the look at it and the act comes while its step runs are read.


class Meanwhile:
    """Does these things, one at each look, between a look at an execution and the act that follows from it."""

    def __init__(self, *things):
        self.things = list(things)

    def __call__(self, execute, sql, params, many, context):
        found = execute(sql, params, many, context)
        if 'FROM "sagas_steprun"' in sql and self.things:
            self.things.pop(0)()
        return found


def meanwhile(*things):
    return connection.execute_wrapper(Meanwhile(*things))


def moves(saga_id, **fields):
    """Whoever has it in hand writes a checkpoint."""
    return lambda: SagaExecution.objects.filter(saga_id=saga_id).update(version=F("version") + 1, **fields)


def test_of_two_operators_who_retry_at_once_one_does(stage, execute):
    saga_id = execute(stage.step("a", NO))

    with meanwhile(lambda: perform(Operation.RETRY, saga_id, reason="first")), pytest.raises(ActRefused) as refused:
        perform(Operation.RETRY, saga_id, reason="second")

    assert str(refused.value) == (
        f"retry of {saga_id!r} is not possible: only what has failed can be tried again, "
        "and this is “Pending”. Possible now: cancel, hold."
    )
    execution = SagaExecution.objects.get(saga_id=saga_id)
    assert execution.run == 2
    assert [event.reason for event in execution.events.all()] == ["first"]


def test_an_act_that_is_still_possible_is_done_to_what_has_moved(stage, execute):
    saga_id = execute(stage.step("a", RetryLater(3600)))

    with meanwhile(moves(saga_id)):
        execution = perform(Operation.HOLD, saga_id, reason="look")

    assert execution.held == "Held by an operator: look"
    assert execution.events.get().version == execution.version == 4


def test_a_request_to_an_owner_who_has_just_given_the_saga_back_is_an_act(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    storage.claim(saga_id, worker="the owner", lease=60, priority=1)

    with meanwhile(moves(saga_id, leased=False)):
        execution = perform(Operation.HOLD, saga_id, reason="look")

    assert (execution.held, execution.pending_request) == ("Held by an operator: look", None)
    assert [event.data.get("requested") for event in execution.events.all()] == [None]


@pytest.mark.parametrize("leased", [True, False])
def test_an_act_that_is_meant_for_what_was_seen_is_refused_once_that_has_moved(stage, registered, orchestrator, leased):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    if leased:
        storage.claim(saga_id, worker="the owner", lease=60, priority=1)
    seen = orchestrator.get_status(saga_id).version

    with meanwhile(moves(saga_id)), pytest.raises(ActRefused) as refused:
        perform(Operation.HOLD, saga_id, version=seen)

    assert str(refused.value) == (
        f"hold of {saga_id!r} is not possible: it has moved since you looked; look again and decide then. "
        "Possible now: cancel, hold."
    )
    execution = orchestrator.get_status(saga_id)
    assert (execution.held, execution.pending_request, execution.version) == ("", None, seen + 1)
    assert not execution.events.exists()


@pytest.mark.parametrize("leased", [True, False])
def test_an_act_that_is_meant_for_what_was_seen_is_done_while_that_stands(stage, registered, orchestrator, leased):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    if leased:
        storage.claim(saga_id, worker="the owner", lease=60, priority=1)
    seen = orchestrator.get_status(saga_id).version

    execution = perform(Operation.HOLD, saga_id, version=seen)

    assert (bool(execution.held), execution.pending_request) == ((False, "hold") if leased else (True, None))
    assert execution.events.count() == 1


def test_an_act_on_what_never_stands_still_is_given_up(stage, execute):
    saga_id = execute(stage.step("a", RetryLater(3600)))

    with meanwhile(*[moves(saga_id)] * 20), pytest.raises(ActRefused) as refused:
        perform(Operation.HOLD, saga_id)

    assert refused.value.sentence == "it keeps moving; look again and try then."
    execution = SagaExecution.objects.get(saga_id=saga_id)
    assert execution.held == ""
    assert not execution.events.exists()
