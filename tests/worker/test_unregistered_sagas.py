"""An execution is held when no running worker has had its saga registered for a minute."""

import datetime as dt

import pytest
from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from sagas.models import MissingSaga, SagaExecution, SagaWorker
from sagas.orchestrator import get_saga_orchestrator
from sagas.worker.unregistered_sagas import hold_unregistered
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ELSEWHERE = "elsewhere"
HELD = f"No running worker has the saga '{ELSEWHERE}'. Deploy its code, then release."


@pytest.fixture
def overdue(strange):
    """Return a function that starts a saga which is not registered here and has been due for a minute."""

    def queue(saga_id="x", **values):
        execution = get_saga_orchestrator().start(saga_id, "noop")
        due = Now() - dt.timedelta(seconds=60)
        SagaExecution.objects.filter(pk=execution.pk).update(saga_name=ELSEWHERE, due_at=due, **values)
        return execution

    return queue


def worker_with(*names):
    """Create the row of a running worker that has these sagas registered."""
    return SagaWorker.objects.create(
        name="there:1", host="there", pid=1, process_group=1, cluster="other", started_at=Now(), seen_at=Now(),
        knows=list(names),
    )  # fmt: skip


def let_pass(seconds, *columns):
    MissingSaga.objects.update(**{column: F(column) - dt.timedelta(seconds=seconds) for column in columns})


def check_for(seconds):
    """Run the check every five seconds, as workers do, for `seconds` of simulated time."""
    for _ in range(seconds // 5):
        hold_unregistered()
        let_pass(5, "since", "seen_at")
    hold_unregistered()


def test_an_unregistered_saga_is_held_after_a_minute(overdue):
    execution = overdue()

    check_for(50)
    execution.refresh_from_db()
    assert execution.held == ""

    check_for(15)
    execution.refresh_from_db()
    assert (execution.held, execution.needs_attention, execution.due_at) == (HELD, True, None)
    assert [event.data["held"] for event in execution.events.all()] == [HELD]


def test_a_saga_that_a_running_worker_has_is_not_held(overdue):
    execution = overdue()
    worker = worker_with(ELSEWHERE)

    for _ in range(20):
        hold_unregistered()
        let_pass(5, "since", "seen_at")

    execution.refresh_from_db()
    assert (execution.held, worker.knows, MissingSaga.objects.count()) == ("", [ELSEWHERE], 0)


def test_an_unreadable_worker_row_does_not_stop_the_reports_of_others(cluster, overdue):
    one = cluster("qcluster", workers=1)
    overdue()
    worker_with(ELSEWHERE)
    SagaWorker.objects.filter(host="there").update(knows=RawSQL("%s", ["["]))

    wait_for(lambda: "report.failed" in one.said)

    before = one.rows.get().seen_at
    wait_for(lambda: one.rows.get().seen_at > before)


def test_the_time_starts_again_when_a_worker_has_returned(overdue):
    execution = overdue()
    check_for(50)

    worker = worker_with(ELSEWHERE)
    hold_unregistered()
    worker.delete()
    check_for(50)

    execution.refresh_from_db()
    assert execution.held == ""


def test_the_time_starts_again_after_a_gap_in_the_checks(overdue):
    """The database was down, so the workers that have the saga could not report."""
    execution = overdue()
    hold_unregistered()
    let_pass(600, "since", "seen_at")

    check_for(50)

    execution.refresh_from_db()
    assert execution.held == ""


def test_a_lease_over_a_minute_extends_the_time(overdue, settings):
    settings.SAGAS = {"LEASE": 90}
    execution = overdue()
    SagaExecution.objects.update(due_at=F("due_at") - dt.timedelta(seconds=60))

    check_for(80)
    execution.refresh_from_db()
    assert execution.held == ""

    check_for(15)
    execution.refresh_from_db()
    assert execution.held == HELD


def test_a_lost_execution_keeps_its_lease_and_needs_attention(overdue):
    execution = overdue(leased=True, state="in_progress")

    check_for(60)

    execution.refresh_from_db()
    assert (execution.held, execution.leased, execution.needs_attention) == ("", True, True)
    assert execution.due_at is not None


def test_an_execution_far_back_in_the_queue_is_held_later(overdue):
    execution = overdue()
    known = SagaExecution.objects.bulk_create(
        SagaExecution(saga_id=f"n-{n}", saga_name="noop", plan=["one"], due_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        for n in range(1000)
    )
    check_for(60)
    execution.refresh_from_db()
    assert execution.held == ""

    SagaExecution.objects.filter(pk=known[0].pk).delete()
    check_for(60)
    execution.refresh_from_db()
    assert execution.held == HELD


def test_a_cluster_holds_unregistered_sagas(cluster, overdue):
    execution = overdue()
    cluster("qcluster", workers=1)

    wait_for(lambda: MissingSaga.objects.filter(name=ELSEWHERE).update(since=Now() - dt.timedelta(seconds=61)))
    held = wait_for(lambda: SagaExecution.objects.filter(pk=execution.pk).exclude(held="").first())

    assert (held.held, held.needs_attention, held.due_at, held.leased) == (HELD, True, None, False)


@pytest.mark.prove
def test_a_restart_of_the_workers_that_have_a_saga_holds_nothing(cluster, overdue):
    """While the saga's workers restart, another cluster on the database sees overdue executions of an unknown saga."""
    cluster("qcluster", workers=1)
    has_saga = {"workers": 1, "environment": {"STRANGE_SAGA": ELSEWHERE}, "WORKER_THREADS": 1}
    first = cluster("qcluster", **has_saga)
    assert first.stop() == 0
    for number in range(20):
        overdue(f"x-{number}", plan=["do"])
    wait_for(lambda: MissingSaga.objects.filter(name=ELSEWHERE).exists())

    cluster("qcluster", **has_saga)
    wait_for(lambda: SagaExecution.objects.filter(state="succeeded").count() == 20)

    assert not SagaExecution.objects.exclude(held="").exists()
    wait_for(lambda: not MissingSaga.objects.exists())
