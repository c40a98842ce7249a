"""`on_change` runs at each entry to and exit from a terminal state, in that transaction."""

import contextlib

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection

from sagas import ActRefused, SagaState, StepFailed
from tests.support import new_id

pytestmark = pytest.mark.django_db


class Follower:
    """An `on_change` callback that records its calls, and raises while it is broken."""

    def __init__(self):
        self.told = []
        self.broken = None

    def __call__(self, execution, old, new):
        self.told.append((old.value, new.value))
        assert execution.state is new
        assert connection.in_atomic_block
        Group.objects.update_or_create(name=execution.saga_id)
        if self.broken:
            raise self.broken
        self.seen = (
            execution.failed_step,
            execution.steps_completed,
            execution.finished_at is not None,
            execution.context,
        )


@pytest.fixture
def follower():
    return Follower()


HELD = (
    "The saga's on_change failed, so its new state was not written: ValueError: no such booking. "
    "Fix the cause, then release."
)


def test_it_is_told_of_success_in_the_same_transaction(stage, registered, orchestrator, follower):
    saga = registered(stage.step("a", {"id": 1}), on_change=follower)
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert follower.told == [("in_progress", "succeeded")]
    assert follower.seen == ("", ["a"], True, {"id": 1})
    assert Group.objects.filter(name=execution.saga_id).exists()


def test_it_is_told_of_every_end_and_of_every_way_out_of_it(stage, registered, orchestrator, follower):
    no = StepFailed("no")
    saga = registered(stage.step("a", undo=[no, {}]), stage.step("b", no, {}), on_change=follower)
    saga_id = orchestrator.execute(new_id(), "trip", saga).saga_id
    orchestrator.retry_failed(saga_id)
    orchestrator.retry_failed(saga_id)
    orchestrator.compensate(saga_id)

    assert follower.told == [
        ("compensating", "partially_compensated"),
        ("partially_compensated", "compensating"),
        ("compensating", "failed"),
        ("failed", "pending"),
        ("in_progress", "succeeded"),
        ("succeeded", "compensating"),
        ("compensating", "failed"),
    ]


def test_it_is_told_of_a_cancel_and_of_a_resolution(stage, registered, orchestrator, follower):
    saga = registered(stage.step("a", undo=[StepFailed("no")]), stage.step("b", StepFailed("no")), on_change=follower)
    orchestrator.cancel(orchestrator.start(new_id(), "trip").saga_id)
    saga_id = orchestrator.execute(new_id(), "trip", saga).saga_id
    orchestrator.resolve_step(saga_id, "a", "undone")

    assert follower.told == [
        ("pending", "failed"),
        ("compensating", "partially_compensated"),
        ("partially_compensated", "failed"),
    ]


def test_if_it_raises_the_step_is_committed_and_the_execution_held(stage, registered, orchestrator, follower):
    saga = registered(stage.step("a", {"id": 1}), on_change=follower)
    follower.broken = ValueError("no such booking")
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert execution.held == HELD
    assert execution.state is SagaState.IN_PROGRESS
    assert execution.needs_attention
    assert execution.steps_completed == ["a"]
    assert execution.context == {"id": 1}
    assert not Group.objects.exists()
    assert orchestrator.get_status(execution.saga_id).held == HELD

    orchestrator.release(execution.saga_id)
    assert orchestrator.resume(execution.saga_id).held == HELD

    follower.broken = None
    orchestrator.release(execution.saga_id)
    execution = orchestrator.resume(execution.saga_id)

    assert execution.state is SagaState.SUCCEEDED
    assert not execution.needs_attention
    assert stage.told == ["a"]
    assert [event.data["cause"] for event in execution.events.filter(kind="held")] == ["on_change", "on_change"]


def test_if_it_raises_at_a_failure_the_step_is_not_tried_again(stage, registered, orchestrator, follower):
    saga = registered(stage.step("a", ValueError("no"), retry_count=0), on_change=follower)
    follower.broken = ValueError("no such booking")
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert execution.held == HELD
    assert execution.failed_step == "a"

    follower.broken = None
    orchestrator.release(execution.saga_id)
    execution = orchestrator.resume(execution.saga_id)

    assert (execution.state, execution.failed_step) == (SagaState.FAILED, "a")
    assert execution.needs_attention
    assert stage.told == ["a"]


def test_an_error_of_the_database_in_it_is_an_error_like_any_other(stage, registered, orchestrator):
    def doubled(execution, old, new):
        Group.objects.create(name="books")
        Group.objects.create(name="books")

    saga = registered(stage.step("a"), on_change=doubled)
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert execution.held.startswith("The saga's on_change failed, so its new state was not written: IntegrityError: ")
    assert execution.held.endswith(". Fix the cause, then release.")
    assert "\n" not in execution.held
    assert not Group.objects.exists()
    assert execution.steps_completed == ["a"]


def test_a_database_error_that_it_swallows_is_still_an_error(stage, registered, orchestrator):
    def swallows(execution, old, new):
        Group.objects.create(name="books")
        with contextlib.suppress(IntegrityError):
            Group.objects.create(name="books")

    saga = registered(stage.step("a"), on_change=swallows)
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert execution.held == (
        "The saga's on_change failed, so its new state was not written: it caught a database error, which "
        "rolled back what it wrote. Fix the cause, then release."
    )
    stored = orchestrator.get_status(execution.saga_id)
    assert (stored.state, stored.steps_completed, stored.leased) == (SagaState.IN_PROGRESS, ["a"], False)
    assert not Group.objects.exists()


def test_if_it_raises_at_an_operators_act_nothing_is_changed(stage, registered, orchestrator, follower):
    saga = registered(stage.step("a", StepFailed("no"), {}), on_change=follower)
    saga_id = orchestrator.execute(new_id(), "trip", saga).saga_id
    follower.broken = ValueError("no such booking")

    with pytest.raises(ActRefused) as refused:
        orchestrator.retry_failed(saga_id)

    assert (
        refused.value.sentence == "nothing was changed, because on_change raised an error: ValueError: no such booking"
    )
    execution = orchestrator.get_status(saga_id)
    assert (execution.state, execution.run) == (SagaState.FAILED, 1)
    assert not execution.events.exists()
