"""Promises 2, 8 and 11: one owner, and the outcome of an attempt whose owner crashed."""

import datetime as dt
import logging
import math
import time
from dataclasses import dataclass

import pytest
from django.db.models import F

from sagas import SagaState, StepFailed, storage
from sagas.definition.states import Ending
from sagas.engine.lease_renewal import HEARTBEAT
from sagas.models import SagaEvent, SagaExecution
from tests.support import new_id, run, story

pytestmark = pytest.mark.django_db

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def row(saga_id):
    return SagaExecution.objects.filter(saga_id=saga_id)


def taken_over(context):
    """Act as another worker that took the row over during a long pause."""
    row(context.saga_id).update(version=F("version") + 1)


@pytest.mark.parametrize("outcome", [{"late": True}, ValueError("late"), StepFailed("late")], ids=repr)
def test_an_owner_with_a_stale_version_writes_no_success_and_no_failure(stage, outcome):
    def late(context):
        taken_over(context)
        row(context.saga_id).update(leased=False, due_at=None, rank_at=None, held="as the new owner left it")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    execution = run(stage.step("a", late), stage.step("b"))

    assert stage.told == ["a"]
    assert execution.held == "as the new owner left it"
    assert execution.context == {}
    assert execution.version == 2
    assert not execution.step_executions.exists()


def test_an_owner_whose_lease_was_lost_follows_the_new_one(stage):
    def paused(context):
        taken_over(context)
        row(context.saga_id).update(due_at=LONG_AGO)
        return {"by": "the paused one"}

    saga_id = new_id()
    execution = run(stage.step("a", paused, {"by": "the next one"}), saga_id=saga_id)

    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"by": "the next one"}
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]
    assert stage.keys == [f"{saga_id}:1:a"] * 2


def lose_the_lease(saga_id):
    """Leave the row as a killed worker leaves it."""
    row(saga_id).update(leased=True, due_at=LONG_AGO)


def test_an_attempt_whose_worker_died_is_in_doubt_and_made_again(stage, registered, orchestrator):
    saga = registered(stage.step("a", retry_count=0), stage.step("b", StepFailed("no")))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    lose_the_lease(saga_id)
    row(saga_id).update(state=SagaState.IN_PROGRESS)

    execution = orchestrator.execute(saga_id, "trip", saga)

    assert stage.told == ["a", "b", "a.undo"]
    assert story(execution)[:2] == ["a action 1 uncertain", "a action 2 succeeded"]
    first = execution.step_executions.first()
    assert first.lost
    assert first.error_message == "the worker crashed or lost its lease during this attempt"
    event = execution.events.get()
    assert (event.kind, event.version, event.source) == (SagaEvent.Kind.LOST_LEASE, first.sequence, "engine")
    assert execution.recoveries == 0


@pytest.fixture
def at_the_log():
    """Call a function at the moment when an event is logged."""
    handler = logging.Handler()
    logging.getLogger("sagas").addHandler(handler)

    def arrange(event, operation):
        handler.emit = lambda record: record.event == event and operation()

    yield arrange
    logging.getLogger("sagas").removeHandler(handler)


def test_an_owner_paused_during_its_recovery_does_not_write_the_lost_lease(stage, registered, orchestrator, at_the_log):
    saga = registered(stage.step("a", idempotent=False))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    lose_the_lease(saga_id)
    as_left = {"leased": False, "due_at": None, "rank_at": None, "held": "as the new owner left it"}
    at_the_log("lease.lost", lambda: row(saga_id).update(version=F("version") + 1, **as_left))

    execution = orchestrator.execute(saga_id, "trip", saga)

    assert stage.told == []
    assert execution.held == "as the new owner left it"
    assert not execution.events.exists()


def test_a_lost_lease_spends_no_retry(stage, registered, orchestrator):
    saga = registered(stage.step("a", ValueError(), {}, retry_count=1))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    row(saga_id).update(state=SagaState.IN_PROGRESS)
    lose_the_lease(saga_id)
    execution = orchestrator.execute(saga_id, "trip", saga)

    assert execution.state is SagaState.SUCCEEDED
    assert [call.attempt for call in stage.calls] == [2, 3]


def test_a_non_idempotent_action_without_a_start_mark_may_be_called(stage, registered, orchestrator):
    saga = registered(stage.step("a", idempotent=False))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    row(saga_id).update(state=SagaState.IN_PROGRESS)
    lose_the_lease(saga_id)

    execution = orchestrator.execute(saga_id, "trip", saga)

    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 succeeded"]


def test_a_non_idempotent_action_with_a_start_mark_is_not_called_again(stage, registered, orchestrator):
    saga = registered(stage.step("a", idempotent=False))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    row(saga_id).update(state=SagaState.IN_PROGRESS, action_started=True)
    lose_the_lease(saga_id)

    execution = orchestrator.execute(saga_id, "trip", saga)

    assert stage.told == ["a.undo"]
    assert execution.state is SagaState.FAILED
    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]


def test_the_mark_is_there_while_the_action_runs_and_gone_afterwards(stage):
    seen = []

    def action(context):
        seen.append(row(context.saga_id).values_list("action_started", flat=True).get())

    execution = run(stage.step("a", action, idempotent=False), stage.step("b", action))

    assert seen[0] is True
    assert not seen[1]
    assert not row(execution.saga_id).get().action_started


def test_a_step_that_keeps_killing_its_worker_is_given_up(stage, registered, orchestrator, settings):
    settings.SAGAS = {"MAX_RECOVERIES": 3}
    saga = registered(stage.step("z"), stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    row(saga_id).update(state=SagaState.IN_PROGRESS, recoveries=2)
    lose_the_lease(saga_id)

    execution = orchestrator.execute(saga_id, "trip", saga)

    assert execution.state is SagaState.FAILED
    assert execution.failed_step == "z"
    assert execution.needs_attention
    assert stage.told == ["z.undo"]
    assert execution.step_executions.first().ending == Ending.POISON


def test_an_undo_that_keeps_killing_its_worker_is_held(stage, registered, orchestrator, settings):
    settings.SAGAS = {"MAX_RECOVERIES": 1}
    saga = registered(stage.step("a", undo=[KeyboardInterrupt, {}]), stage.step("b", StepFailed("no"), undo=None))
    saga_id = new_id()
    with pytest.raises(KeyboardInterrupt):
        orchestrator.execute(saga_id, "trip", saga)
    lose_the_lease(saga_id)

    execution = orchestrator.execute(saga_id, "trip", saga)

    assert execution.held == (
        "The compensation of step 'a' keeps crashing its worker. "
        "Fix the cause, then release; or mark the step as resolved."
    )
    assert execution.state is SagaState.COMPENSATING
    assert execution.needs_attention

    orchestrator.release(saga_id)
    assert orchestrator.resume(saga_id).state is SagaState.FAILED


def test_a_heartbeat_or_request_during_a_step_keeps_its_success(stage, registered, orchestrator):
    def action(context):
        here = row(context.saga_id).get()
        assert storage.renew([(here.pk, here.version)], lease=60) == {(here.pk, here.version)}
        orchestrator.hold(context.saga_id, reason="look at it")
        return {"id": 7}

    execution = orchestrator.execute(new_id(), "trip", registered(stage.step("a", action), stage.step("b")))

    assert execution.held == "Held by an operator: look at it"
    assert execution.context == {"id": 7}
    assert execution.steps_completed == ["a"]
    assert stage.told == ["a"]


def test_a_request_leaves_the_version_of_a_leased_row_to_its_owner(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    owned = storage.claim(saga_id, worker="owner", lease=60, priority=1)

    asked = [orchestrator.hold(saga_id), orchestrator.cancel(saga_id)]

    assert [(execution.version, execution.pending_request) for execution in asked] == [(2, "hold"), (2, "cancel")]
    assert storage.renew([(owned.pk, owned.version)], lease=60) == {(owned.pk, owned.version)}


def test_every_write_raises_the_version_and_a_renewal_does_not(stage):
    versions = []

    def action(context):
        before = row(context.saga_id).get()
        storage.renew([(before.pk, before.version)], lease=60)
        after = row(context.saga_id).get()
        assert after.version == before.version
        assert after.due_at >= before.due_at
        versions.append(after.version)

    execution = run(stage.step("a", action), stage.step("b", action), stage.step("c", action))

    assert versions == [1, 2, 3]
    assert execution.version == 4
    assert [run.sequence for run in execution.step_executions] == [2, 3, 4]


def test_a_renewal_of_a_stale_version_renews_nothing(stage, registered, orchestrator):
    registered(stage.step("a"))
    execution = orchestrator.start(new_id(), "trip")
    row(execution.saga_id).update(leased=True)

    assert storage.renew([(execution.pk, execution.version - 1)], lease=60) == set()
    assert storage.renew([(execution.pk, execution.version)], lease=60) == {(execution.pk, execution.version)}


@pytest.mark.django_db(transaction=True)
def test_a_step_longer_than_the_lease_keeps_its_row_by_the_heartbeat(stage, settings):
    settings.SAGAS = {"LEASE": 0.6}
    tried = []

    def long(context):
        for _ in range(12):
            time.sleep(0.1)
            tried.append(storage.claim(context.saga_id, worker="another", lease=60, priority=1))

    execution = run(stage.step("a", long))

    assert execution.state is SagaState.SUCCEEDED
    assert tried == [None] * 12
    assert execution.version == 2


@dataclass(eq=False)
class Owner:
    """An owner of a row, or a former one. `place` is its hash, which decides its place in the heartbeat's set."""

    fence: tuple[int, int]
    place: int
    renewed: float = -math.inf

    def __hash__(self):
        return self.place


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", [0, 1])
def test_the_heartbeat_renews_the_owner_beside_a_former_owner_of_its_row(stage, registered, orchestrator, place):
    registered(stage.step("a"))
    execution = orchestrator.start(new_id(), "trip")
    claimed = storage.claim(execution.saga_id, worker="now", lease=60, priority=1)
    former = Owner((claimed.pk, claimed.version - 1), place=1 - place)
    owner = Owner((claimed.pk, claimed.version), place)

    for who in (former, owner):
        HEARTBEAT.add(who)
    give_up = time.monotonic() + 5
    while owner.renewed < 0 and time.monotonic() < give_up:
        time.sleep(0.01)
    for who in (former, owner):
        HEARTBEAT.discard(who)

    assert owner.renewed > 0
    assert former.renewed < 0


@pytest.mark.django_db(transaction=True)
def test_whoever_claims_a_lease_that_ran_out_owns_the_row(stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id

    claims = [storage.claim(saga_id, worker=name, lease=60, priority=1) for name in ("first", "second")]
    lose_the_lease(saga_id)
    third = storage.claim(saga_id, worker="third", lease=60, priority=1)

    assert claims[1] is None
    assert (claims[0].version, claims[0].lost, claims[0].recoveries) == (2, False, 0)
    assert (third.version, third.lost, third.recoveries, third.worker) == (3, True, 1, "third")
