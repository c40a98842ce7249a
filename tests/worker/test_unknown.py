"""A saga that no worker knows waits for a person; one whose workers are only being started again does not."""

import datetime as dt

import pytest
from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from sagas.models import MissingSaga, SagaExecution, SagaWorker
from sagas.orchestrator import get_saga_orchestrator
from sagas.worker.unregistered_sagas import hold_what_nobody_knows
from tests.crash.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ELSEWHERE = "elsewhere"
HELD = f"No worker that runs knows the saga '{ELSEWHERE}'. Deploy its code, then release."


@pytest.fixture
def overdue(strange):
    """Queue a saga that is not known here, due for a minute."""

    def queue(saga_id="x", **values):
        execution = get_saga_orchestrator().start(saga_id, "noop")
        due = Now() - dt.timedelta(seconds=60)
        SagaExecution.objects.filter(pk=execution.pk).update(saga_name=ELSEWHERE, due_at=due, **values)
        return execution

    return queue


def who_knows(*names):
    """A worker that has just reported itself."""
    return SagaWorker.objects.create(
        name="there:1", host="there", pid=1, process_group=1, cluster="other", started_at=Now(), seen_at=Now(),
        knows=list(names),
    )  # fmt: skip


def let_pass(seconds, *columns):
    MissingSaga.objects.update(**{column: F(column) - dt.timedelta(seconds=seconds) for column in columns})


def looks_for(seconds):
    """Look, as the workers do every few seconds, until so much time has passed."""
    for _ in range(seconds // 5):
        hold_what_nobody_knows()
        let_pass(5, "since", "seen_at")
    hold_what_nobody_knows()


def test_what_nobody_knows_is_held_after_a_minute_and_not_before(overdue):
    execution = overdue()

    looks_for(50)
    execution.refresh_from_db()
    assert execution.held == ""

    looks_for(15)
    execution.refresh_from_db()
    assert (execution.held, execution.needs_attention, execution.due_at) == (HELD, True, None)
    assert [event.data["held"] for event in execution.events.all()] == [HELD]


def test_what_a_worker_that_lives_knows_is_not_held(overdue):
    execution = overdue()
    worker = who_knows(ELSEWHERE)

    for _ in range(20):
        hold_what_nobody_knows()
        let_pass(5, "since", "seen_at")

    execution.refresh_from_db()
    assert (execution.held, worker.knows, MissingSaga.objects.count()) == ("", [ELSEWHERE], 0)


def test_a_workers_row_that_cannot_be_read_does_not_silence_the_others(cluster, overdue):
    one = cluster("qcluster", workers=1)
    overdue()
    who_knows(ELSEWHERE)
    SagaWorker.objects.filter(host="there").update(knows=RawSQL("%s", ["["]))

    wait_for(lambda: "report.failed" in one.said)

    before = one.rows.get().seen_at
    wait_for(lambda: one.rows.get().seen_at > before)


def test_when_its_worker_is_back_the_time_counts_from_anew(overdue):
    execution = overdue()
    looks_for(50)

    worker = who_knows(ELSEWHERE)
    hold_what_nobody_knows()
    worker.delete()
    looks_for(50)

    execution.refresh_from_db()
    assert execution.held == ""


def test_while_nobody_could_look_nobody_is_missed(overdue):
    """The database was down, and those who know the saga have not been able to report themselves."""
    execution = overdue()
    hold_what_nobody_knows()
    let_pass(600, "since", "seen_at")

    looks_for(50)

    execution.refresh_from_db()
    assert execution.held == ""


def test_a_lease_is_longer_than_a_minute_where_it_is_set_so(overdue, settings):
    settings.SAGAS = {"LEASE": 90}
    execution = overdue()
    SagaExecution.objects.update(due_at=F("due_at") - dt.timedelta(seconds=60))

    looks_for(80)
    execution.refresh_from_db()
    assert execution.held == ""

    looks_for(15)
    execution.refresh_from_db()
    assert execution.held == HELD


def test_what_died_with_its_worker_keeps_its_lease_and_is_shown_to_a_person(overdue):
    execution = overdue(leased=True, state="in_progress")

    looks_for(60)

    execution.refresh_from_db()
    assert (execution.held, execution.leased, execution.needs_attention) == ("", True, True)
    assert execution.due_at is not None


def test_what_has_not_come_to_its_turn_is_held_once_it_has(overdue):
    execution = overdue()
    known = SagaExecution.objects.bulk_create(
        SagaExecution(saga_id=f"n-{n}", saga_name="noop", plan=["one"], due_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        for n in range(1000)
    )
    looks_for(60)
    execution.refresh_from_db()
    assert execution.held == ""

    SagaExecution.objects.filter(pk=known[0].pk).delete()
    looks_for(60)
    execution.refresh_from_db()
    assert execution.held == HELD


def test_a_cluster_holds_what_nobody_knows(cluster, overdue):
    execution = overdue()
    cluster("qcluster", workers=1)

    wait_for(lambda: MissingSaga.objects.filter(name=ELSEWHERE).update(since=Now() - dt.timedelta(seconds=61)))
    held = wait_for(lambda: SagaExecution.objects.filter(pk=execution.pk).exclude(held="").first())

    assert (held.held, held.needs_attention, held.due_at, held.leased) == (HELD, True, None, False)


@pytest.mark.prove
def test_an_ordinary_restart_of_those_who_know_a_saga_holds_none_of_it(cluster, overdue):
    """The other cluster shares the database, and sees that nobody knows what is overdue."""
    cluster("qcluster", workers=1)
    knowing = {"workers": 1, "environment": {"STRANGE_SAGA": ELSEWHERE}, "WORKER_THREADS": 1}
    former = cluster("qcluster", **knowing)
    assert former.stop() == 0
    for number in range(20):
        overdue(f"x-{number}", plan=["do"])
    wait_for(lambda: MissingSaga.objects.filter(name=ELSEWHERE).exists())

    cluster("qcluster", **knowing)
    wait_for(lambda: SagaExecution.objects.filter(state="succeeded").count() == 20)

    assert not SagaExecution.objects.exclude(held="").exists()
    wait_for(lambda: not MissingSaga.objects.exists())
