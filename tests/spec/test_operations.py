"""Promise 16: which operations each state allows, why it refuses the others, and concurrent operators."""

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
    """Return the refusal of each operation in this state, or "" if it is allowed. `others` replaces some of them."""
    return {
        "retry": f"it can be retried only after it failed, and it is “{state}”.",
        "cancel": f"it is too late to cancel: it is “{state}”.",
        "compensate": f"it can be undone only after it succeeded, and it is “{state}”.",
        "hold": "it has ended.",
        "release": "it is not on hold.",
        "verify": "it has no step in doubt that a provider can be asked about.",
        "resolve": "a step can be marked as resolved only while the case is on hold or partly undone.",
        "acknowledge": f"it can be acknowledged only after it failed, and it is “{state}”.",
        "correct": ("its input can be corrected only after it failed, or on hold before the first attempt of a step."),
    } | others


@pytest.fixture
def execute(registered, orchestrator):
    """Return a function that executes a saga of these steps for 0.3 seconds and returns its id."""
    return lambda *steps: orchestrator.execute(new_id(), "trip", registered(*steps), max_seconds=0.3).saga_id


def holds(context):
    get_saga_orchestrator().hold(context.saga_id, reason="look")


def assert_allowed(saga_id, expected):
    assert blocked_reasons(load_view(saga_id)) == expected
    assert allowed(saga_id) == tuple(Operation(operation) for operation, sentence in expected.items() if not sentence)


def test_a_pending_saga_can_be_cancelled_or_held(stage, registered, orchestrator):
    registered(stage.step("a"))

    assert_allowed(orchestrator.start(new_id(), "trip").saga_id, sentences("Pending", cancel="", hold=""))


def test_a_waiting_saga_can_be_cancelled_or_held(stage, execute):
    saga_id = execute(stage.step("a", RetryLater(3600)))

    assert_allowed(saga_id, sentences("In progress", cancel="", hold=""))


def test_a_saga_whose_pivot_is_running_can_only_be_held(stage, execute):
    def running(context):
        passing = "it has reached its point of no return."
        assert_allowed(context.saga_id, sentences("In progress", cancel=passing, hold=""))
        return {"seen": True}

    saga_id = execute(stage.step("a", running, pivot=True))

    assert SagaExecution.objects.get(saga_id=saga_id).context == {"seen": True}


def test_a_saga_that_is_being_cancelled_allows_no_operation(stage, execute):
    def cancelled(context):
        perform(Operation.CANCEL, context.saga_id)
        cancel, hold = "it is already being cancelled.", "a hold or a cancellation has already been requested."
        assert_allowed(context.saga_id, sentences("In progress", cancel=cancel, hold=hold))
        return {"seen": True}

    saga_id = execute(stage.step("a", cancelled))

    assert SagaExecution.objects.get(saga_id=saga_id).context == {"seen": True}


def test_a_saga_held_before_a_step_allows_all_but_hold_and_retry(stage, execute):
    saga_id = execute(stage.step("a", holds), stage.step("b"))

    held = "it is already on hold."
    assert_allowed(saga_id, sentences("In progress", cancel="", hold=held, release="", resolve="", correct=""))


def test_a_saga_held_after_its_pivot_can_be_released_or_resolved(stage, execute):
    saga_id = execute(stage.step("a", pivot=True), stage.step("b", NO, undo=None))

    passed, held = "it has reached its point of no return.", "it is already on hold."
    assert_allowed(saga_id, sentences("In progress", cancel=passed, hold=held, release="", resolve=""))


def test_a_waiting_rollback_can_only_be_held(stage, execute):
    saga_id = execute(stage.step("a", undo=[RetryLater(3600)]), stage.step("b", NO))

    assert_allowed(saga_id, sentences("Undoing", hold=""))


def test_a_saga_that_succeeded_can_be_compensated(stage, execute):
    assert_allowed(execute(stage.step("a")), sentences("Succeeded", compensate=""))


def test_a_saga_that_succeeded_past_its_pivot_allows_no_operation(stage, execute):
    saga_id = execute(stage.step("a", pivot=True))

    assert_allowed(saga_id, sentences("Succeeded", compensate="it has reached its point of no return."))


def test_a_failed_saga_can_be_retried_or_corrected(stage, execute):
    not_needed = "it does not need attention."

    assert_allowed(execute(stage.step("a", NO)), sentences("Failed", retry="", acknowledge=not_needed, correct=""))


def test_a_failed_saga_that_needs_attention_can_be_acknowledged_too(stage, execute):
    saga_id = execute(stage.step("a", ValueError(), retry_count=0))

    assert_allowed(saga_id, sentences("Failed", retry="", acknowledge="", correct=""))


def test_a_partly_compensated_saga_can_be_retried_or_resolved(stage, execute):
    saga_id = execute(stage.step("a", undo=[NO]), stage.step("b", NO))

    assert_allowed(saga_id, sentences("Partly undone", retry="", resolve=""))


@pytest.fixture
def in_doubt(stage, execute):
    """Return the id of a saga that waits to verify its second step."""
    return execute(stage.step("a"), stage.step("b", lost(), idempotent=False, verify=[{"id": 7}]))


def test_a_saga_in_doubt_can_be_verified(in_doubt):
    assert_allowed(in_doubt, sentences("In progress", cancel="", hold="", verify=""))


def test_a_saga_held_by_an_operator_must_be_released_before_verify(in_doubt):
    perform(Operation.HOLD, in_doubt)

    held, first = "it is already on hold.", "it is on hold; release it first."
    expected = sentences("In progress", cancel="", hold=held, release="", verify=first, resolve="")
    assert_allowed(in_doubt, expected)


def test_a_saga_with_a_pending_verify_is_busy(stage, execute, registered, orchestrator):
    saga_id = execute(stage.step("a", lost(), undo=[NO], verify=[ValueError()], retry_count=0))
    let_wait_pass(orchestrator.get_status(saga_id))
    execution = orchestrator.resume(saga_id)
    assert_allowed(saga_id, sentences("Partly undone", retry="", verify="", resolve=""))

    perform(Operation.VERIFY, saga_id)

    busy = "it is being processed right now; wait until that has ended."
    assert_allowed(saga_id, sentences("Partly undone", retry=busy, verify=busy, resolve=busy))
    assert execution.needs_attention


UNKNOWN = "no saga named 'trip' is registered here."


def test_an_unregistered_saga_that_succeeded_allows_no_operation(stage, execute, registered):
    saga_id = execute(stage.step("a"))
    registered.forget()

    assert_allowed(saga_id, sentences("Succeeded", compensate=UNKNOWN, verify=UNKNOWN))


def test_an_unregistered_waiting_saga_can_only_be_held(stage, execute, registered):
    saga_id = execute(stage.step("a", RetryLater(3600)))
    registered.forget()

    assert_allowed(saga_id, sentences("In progress", cancel=UNKNOWN, hold="", verify=UNKNOWN))


# An operator resolves a step.


@pytest.mark.parametrize(
    ("step", "outcome", "sentence"),
    [
        ("c", "undone", "nothing is being undone; use done or not_done."),
        ("a", "not_done", "it is at step 'c', and step 'a' is not in doubt."),
    ],
)
def test_a_resolution_that_does_not_fit_the_history_is_refused(stage, execute, step, outcome, sentence):
    saga_id = execute(stage.step("a"), stage.step("b", holds), stage.step("c"))

    with pytest.raises(ActRefused) as refused:
        perform(Operation.RESOLVE, saga_id, step=step, outcome=outcome)

    assert str(refused.value) == (
        f"resolve of {saga_id!r} is not possible: {sentence} Possible now: cancel, release, resolve, correct."
    )


def test_a_resolution_does_not_end_the_hold_of_an_operator(stage, orchestrator, in_doubt):
    perform(Operation.HOLD, in_doubt, reason="the provider is looking")

    execution = perform(Operation.RESOLVE, in_doubt, step="b", outcome="done", output={"id": 7})

    assert execution.held == "Held by an operator: the provider is looking"
    assert (execution.steps_completed, execution.context) == (["a", "b"], {"id": 7})
    assert orchestrator.resume(in_doubt).state is SagaState.IN_PROGRESS

    perform(Operation.RELEASE, in_doubt)
    assert orchestrator.resume(in_doubt).state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b"]


def test_the_event_keeps_the_name_of_a_user_who_is_deleted_later(stage, execute):
    user = User.objects.create_user("maria")
    saga_id = execute(stage.step("a", RetryLater(3600)))

    execution = perform(Operation.HOLD, saga_id, reason="look", by=Actor(user=user, source="admin"))
    assert execution.held == "Held by maria: look"
    assert execution.events.get().actor == user
    user.delete()

    event = execution.events.get()
    assert (event.actor, event.actor_name, event.source, event.reason) == (None, "maria", "admin", "look")


# Concurrent operators. The tests change the row between an operation's read and its write.


class Meanwhile:
    """Call a function each time an operation has read the execution, before it writes."""

    def __init__(self, *changes):
        self.changes = list(changes)

    def __call__(self, execute, sql, params, many, context):
        found = execute(sql, params, many, context)
        if 'FROM "sagas_steprun"' in sql and self.changes:
            self.changes.pop(0)()
        return found


def meanwhile(*changes):
    return connection.execute_wrapper(Meanwhile(*changes))


def moves(saga_id, **fields):
    """Return a function that changes the row as the owner's checkpoint does."""
    return lambda: SagaExecution.objects.filter(saga_id=saga_id).update(version=F("version") + 1, **fields)


def test_one_of_two_concurrent_retries_is_refused(stage, execute):
    saga_id = execute(stage.step("a", NO))

    with meanwhile(lambda: perform(Operation.RETRY, saga_id, reason="first")), pytest.raises(ActRefused) as refused:
        perform(Operation.RETRY, saga_id, reason="second")

    assert str(refused.value) == (
        f"retry of {saga_id!r} is not possible: it can be retried only after it failed, "
        "and it is “Pending”. Possible now: cancel, hold."
    )
    execution = SagaExecution.objects.get(saga_id=saga_id)
    assert execution.run == 2
    assert [event.reason for event in execution.events.all()] == ["first"]


def test_an_operation_without_a_version_is_repeated_after_a_change(stage, execute):
    saga_id = execute(stage.step("a", RetryLater(3600)))

    with meanwhile(moves(saga_id)):
        execution = perform(Operation.HOLD, saga_id, reason="look")

    assert execution.held == "Held by an operator: look"
    assert execution.events.get().version == execution.version == 4


def test_a_request_to_an_owner_that_has_just_left_is_performed_at_once(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    storage.claim(saga_id, worker="the owner", lease=60, priority=1)

    with meanwhile(moves(saga_id, leased=False)):
        execution = perform(Operation.HOLD, saga_id, reason="look")

    assert (execution.held, execution.pending_request) == ("Held by an operator: look", None)
    assert [event.data.get("requested") for event in execution.events.all()] == [None]


@pytest.mark.parametrize("leased", [True, False])
def test_an_operation_for_an_old_version_is_refused(stage, registered, orchestrator, leased):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    if leased:
        storage.claim(saga_id, worker="the owner", lease=60, priority=1)
    seen = orchestrator.get_status(saga_id).version

    with meanwhile(moves(saga_id)), pytest.raises(ActRefused) as refused:
        perform(Operation.HOLD, saga_id, version=seen)

    assert str(refused.value) == (
        f"hold of {saga_id!r} is not possible: it has changed since you looked at it. Look again, then decide. "
        "Possible now: cancel, hold."
    )
    execution = orchestrator.get_status(saga_id)
    assert (execution.held, execution.pending_request, execution.version) == ("", None, seen + 1)
    assert not execution.events.exists()


@pytest.mark.parametrize("leased", [True, False])
def test_an_operation_for_the_current_version_is_performed(stage, registered, orchestrator, leased):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    if leased:
        storage.claim(saga_id, worker="the owner", lease=60, priority=1)
    seen = orchestrator.get_status(saga_id).version

    execution = perform(Operation.HOLD, saga_id, version=seen)

    assert (bool(execution.held), execution.pending_request) == ((False, "hold") if leased else (True, None))
    assert execution.events.count() == 1


def test_an_operation_on_a_row_that_keeps_changing_is_refused(stage, execute):
    saga_id = execute(stage.step("a", RetryLater(3600)))

    with meanwhile(*[moves(saga_id)] * 20), pytest.raises(ActRefused) as refused:
        perform(Operation.HOLD, saga_id)

    assert refused.value.sentence == "it keeps changing; try again in a moment."
    execution = SagaExecution.objects.get(saga_id=saga_id)
    assert execution.held == ""
    assert not execution.events.exists()
