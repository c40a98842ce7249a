"""What happens between two steps: a request, a new owner, the second half of the lease, or a worker's crash."""

import datetime as dt
import time

import pytest
from django.db.models import F

from sagas import SagaState, StepFailed
from sagas.models import SagaExecution
from sagas.operations import Operation, blocked_reasons, perform
from sagas.presentation.execution_view import load_view
from sagas.signals import step_ended
from tests.support import let_wait_pass, lost, new_id, run, story

pytestmark = pytest.mark.django_db

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def after():
    """Call a function directly after the commit of a step's first run: after("a", function of the saga's id)."""
    connected = []

    def connect(step, function):
        def receiver(sender, execution, step_run, **_):
            if step_run.step == step and step_run.attempt == 1:
                function(execution.saga_id)

        step_ended.connect(receiver, weak=False)
        connected.append(receiver)

    yield connect
    for receiver in connected:
        step_ended.disconnect(receiver)


def row(saga_id):
    return SagaExecution.objects.filter(saga_id=saga_id)


def cancel(saga_id):
    perform(Operation.CANCEL, saga_id)


def is_taken_over(saga_id):
    """Act as another worker that took the row over and whose lease has expired."""
    row(saga_id).update(version=F("version") + 1, worker="another", due_at=LONG_AGO)


# A step with idempotent=False is not called when a request is pending or the row has a new owner.


def test_a_cancel_between_two_steps_keeps_the_second_from_being_called(stage, registered, orchestrator, after):
    saga = registered(stage.step("a"), stage.step("b", idempotent=False))
    after("a", cancel)

    execution = orchestrator.execute(new_id(), "trip", saga)

    assert stage.told == ["a", "a.undo"]
    assert (execution.state, execution.failed_step, execution.pending_request) == (SagaState.FAILED, "", None)
    assert [event.kind for event in execution.events.order_by("id")] == ["cancel", "cancelled"]


def test_a_hold_between_two_steps_keeps_the_second_from_being_called(stage, registered, orchestrator, after):
    saga = registered(stage.step("a"), stage.step("b", idempotent=False))
    after("a", lambda saga_id: perform(Operation.HOLD, saga_id, reason="look"))

    execution = orchestrator.execute(new_id(), "trip", saga)
    assert (stage.told, execution.held) == (["a"], "Held by an operator: look")

    perform(Operation.RELEASE, execution.saga_id)
    execution = orchestrator.resume(execution.saga_id)

    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 succeeded", "b action 1 succeeded"]


def test_an_owner_that_lost_the_row_between_steps_calls_no_second_step(stage, after):
    """The next owner must assume that the step was called, so no owner calls it."""
    after("a", is_taken_over)
    after("a", lambda saga_id: row(saga_id).update(action_started=True))

    execution = run(stage.step("a"), stage.step("b", idempotent=False))

    assert stage.told == ["a", "b.undo", "a.undo"]
    assert story(execution)[1] == "b action 1 uncertain"
    assert execution.state is SagaState.FAILED


def test_a_second_request_before_the_pivot_is_refused_for_the_first_one(stage, registered, orchestrator, after):
    first = stage.step("a", lambda context: cancel(context.saga_id), undo=None)
    saga, told = registered(first, stage.step("b", pivot=True)), []
    after("a", lambda saga_id: told.append(blocked_reasons(load_view(saga_id))[Operation.CANCEL]))

    execution = orchestrator.execute(new_id(), "trip", saga)

    assert told == ["it is already being cancelled."]
    assert (execution.state, stage.told) == (SagaState.FAILED, ["a"])


# Promise 8: no action starts in the second half of a lease.


def slow(context):
    time.sleep(0.5)
    return {"slow": True}


def test_a_lease_whose_first_half_is_over_is_renewed_before_the_next_step(stage, settings):
    settings.SAGAS = {"LEASE": 0.8}
    ends = {}

    def note(name):
        def function(context):
            ends[name] = row(context.saga_id).values_list("due_at", flat=True).get()
            return slow(context) if name == "a" else {}

        return function

    execution = run(stage.step("a", note("a")), stage.step("b", note("b")), stage.step("c", note("c")))

    assert execution.state is SagaState.SUCCEEDED
    assert ends["b"] - ends["a"] > dt.timedelta(seconds=0.4)
    assert ends["c"] == ends["b"]


def test_a_step_is_not_called_in_the_second_half_of_a_lease_that_is_lost(stage, settings, after):
    settings.SAGAS = {"LEASE": 0.8}
    after("a", is_taken_over)

    execution = run(stage.step("a", slow), stage.step("b"))

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b"]
    assert story(execution) == ["a action 1 succeeded", "b action 1 uncertain", "b action 2 succeeded"]
    assert execution.worker != "another"


# Promise 11: a worker that crashes repeatedly outside any step.


def dies(saga_id, recoveries):
    """Change the row as another crash of the worker does."""
    row(saga_id).update(leased=True, due_at=LONG_AGO, rank_at=LONG_AGO, recoveries=recoveries)


OUTSIDE = "Its worker crashed 3 times outside any step. Fix the cause, then release."


@pytest.fixture
def at_its_end(stage, registered, orchestrator):
    """Return the id of a saga whose steps are all done, but which has not ended."""

    def holds(context):
        perform(Operation.HOLD, context.saga_id)

    saga_id = orchestrator.execute(new_id(), "trip", registered(stage.step("a", holds))).saga_id
    perform(Operation.RELEASE, saga_id)
    return saga_id


def test_a_saga_whose_worker_keeps_dying_outside_any_step_is_held(stage, orchestrator, at_its_end):
    dies(at_its_end, recoveries=2)
    execution = orchestrator.resume(at_its_end)

    assert execution.held == OUTSIDE
    assert execution.needs_attention
    assert (execution.state, execution.due_at) == (SagaState.IN_PROGRESS, None)
    lost_lease, held = execution.events.order_by("-id")[:2][::-1]
    assert (lost_lease.kind, lost_lease.data) == ("lost_lease", {"recoveries": 3})
    assert (held.kind, held.data) == ("held", {"held": OUTSIDE, "cause": "engine"})

    perform(Operation.RELEASE, at_its_end)
    execution = orchestrator.resume(at_its_end)
    assert (execution.state, execution.recoveries) == (SagaState.SUCCEEDED, 0)
    assert stage.told == ["a"]


def test_a_saga_whose_worker_died_once_outside_any_step_goes_on(stage, orchestrator, at_its_end):
    dies(at_its_end, recoveries=1)

    execution = orchestrator.resume(at_its_end)

    assert execution.state is SagaState.SUCCEEDED
    assert stage.told == ["a"]
    assert [event.kind for event in execution.events.order_by("id")][-1] == "lost_lease"


@pytest.fixture
def asked_about(stage, registered, orchestrator):
    """Return the id of a partially compensated saga with a pending request to verify."""
    saga = registered(stage.step("a", lost(), undo=[StepFailed("no")], verify=[ValueError(), {}], retry_count=0))
    saga_id = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.1).saga_id
    let_wait_pass(orchestrator.get_status(saga_id))
    assert orchestrator.resume(saga_id).state is SagaState.PARTIALLY_COMPENSATED
    perform(Operation.VERIFY, saga_id)
    return saga_id


def test_a_request_to_ask_that_keeps_killing_its_worker_is_dropped(stage, orchestrator, asked_about):
    dies(asked_about, recoveries=2)
    execution = orchestrator.resume(asked_about)

    assert stage.told == ["a", "a.verify", "a.undo"]
    assert (execution.state, execution.pending_request, execution.due_at) == (
        SagaState.PARTIALLY_COMPENSATED,
        None,
        None,
    )
    assert execution.needs_attention
    assert [event.kind for event in execution.events.order_by("id")] == ["verify", "lost_lease"]


def test_a_request_to_ask_whose_worker_died_is_carried_out_by_the_next(stage, orchestrator, asked_about):
    dies(asked_about, recoveries=1)
    execution = orchestrator.resume(asked_about)

    assert stage.told == ["a", "a.verify", "a.undo", "a.verify"]
    assert (execution.state, execution.pending_request) == (SagaState.PARTIALLY_COMPENSATED, None)
    assert execution.steps_completed == ["a"]
