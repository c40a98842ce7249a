"""Database errors outside a step: the row is given back, the threads continue, and nothing is lost."""

import time

import pytest
from django.db import DatabaseError, connection
from django.db.models import F

from sagas import SagaState, StepTimeout
from sagas.models import SagaExecution
from tests.support import new_id, run, story

pytestmark = pytest.mark.django_db(transaction=True)

# A trigger that raises makes the database itself fail, for every connection, until the trigger is dropped.
REFUSE = {
    "sqlite": [
        "CREATE TRIGGER refuses BEFORE {event} ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$",
        "CREATE TRIGGER refuses BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuses()",
    ],
}
RELENT = {"sqlite": ["DROP TRIGGER refuses"], "postgresql": ["DROP FUNCTION refuses CASCADE"]}


class Refusals:
    """A trigger that makes the database refuse one kind of write at a time."""

    def __init__(self):
        self.refusing = False

    def begin(self, event, table, when="true"):
        self.execute([sql.format(event=event, table=table, when=when) for sql in REFUSE[connection.vendor]])
        self.refusing = True

    def end(self):
        if self.refusing:
            self.execute(RELENT[connection.vendor])
        self.refusing = False

    def execute(self, statements):
        with connection.cursor() as cursor:
            for sql in statements:
                cursor.execute(sql)


@pytest.fixture
def refuses():
    """Let the database refuse writes, from refuses.begin("INSERT", "sagas_steprun") to refuses.end()."""
    blocked_reasons = Refusals()
    yield blocked_reasons
    blocked_reasons.end()


@pytest.fixture
def told(caplog):
    """Return the log lines of an event: the level and some fields."""
    caplog.set_level("INFO", logger="sagas")

    def lines(event):
        names = ("watch", "step", "error_type")
        found = [record for record in caplog.records if getattr(record, "event", "") == event]
        return [(line.levelname, *(line.fields[name] for name in names if name in line.fields)) for line in found]

    return lines


def wait_until(true):
    give_up = time.monotonic() + 20
    while not true():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


def row(saga_id):
    return SagaExecution.objects.get(saga_id=saga_id)


# A checkpoint that cannot be written.


def test_a_checkpoint_that_fails_raises_and_lets_the_lease_run_out_at_once(stage, refuses, told):
    def action(context):
        refuses.begin("INSERT", "sagas_steprun")
        return {"by": "the first"}

    saga_id = new_id()
    steps = [stage.step("a", action, {"by": "the next"}, retry_count=0), stage.step("b")]
    with pytest.raises(DatabaseError, match="disk full"):
        run(*steps, saga_id=saga_id)
    left = row(saga_id)
    assert (left.state, left.version, left.leased, left.context) == (SagaState.IN_PROGRESS, 1, True, {})
    assert told("lease.not_given_back") == []

    refuses.end()
    execution = run(*steps, saga_id=saga_id, max_seconds=5)

    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded", "b action 1 succeeded"]
    assert execution.step_executions.first().lost
    assert execution.context == {"by": "the next"}


def test_a_row_that_cannot_be_given_back_is_due_after_its_lease(stage, refuses, told, settings):
    settings.SAGAS = {"LEASE": 1.0}

    def action(context):
        refuses.begin("UPDATE", "sagas_execution")

    saga_id = new_id()
    steps = [stage.step("a", action, {})]
    with pytest.raises(DatabaseError, match="disk full") as error:
        run(*steps, saga_id=saga_id)
    assert told("lease.not_given_back") == [("ERROR", type(error.value).__name__)]

    refuses.end()
    execution = run(*steps, saga_id=saga_id)

    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]


# The threads that renew leases and watch deadlines.

RENEWALS = "NEW.due_at IS DISTINCT FROM OLD.due_at" if connection.vendor == "postgresql" else "NEW.due_at != OLD.due_at"


def test_the_heartbeat_outlives_an_error_and_renews_again(stage, refuses, told, settings):
    settings.SAGAS = {"LEASE": 2.0, "HEARTBEAT": 0.1}
    ends = []

    def long(context):
        refuses.begin("UPDATE", "sagas_execution", when=RENEWALS)
        wait_until(lambda: told("watch.failed"))
        refuses.end()
        ends.append(row(context.saga_id).due_at)
        wait_until(lambda: row(context.saga_id).due_at > ends[0])

    execution = run(stage.step("a", long), stage.step("b"))

    assert told("watch.failed")[0][:2] == ("ERROR", "sagas-heartbeat")
    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 succeeded", "b action 1 succeeded"]
    assert not execution.events.exists()


def stay(until):
    """Ignore the first timeout and continue to wait."""
    try:
        wait_until(until)
    except StepTimeout:
        wait_until(until)


def test_a_stuck_attempt_that_cannot_be_written_is_written_when_it_returns(stage, refuses, told, settings):
    settings.SAGAS = {"GRACE": 0.1}

    def stuck(context):
        stay(lambda: told("attempt.not_recorded"))
        refuses.end()

    refuses.begin("INSERT", "sagas_steprun")
    execution = run(stage.step("a", stuck, {"id": 2}, timeout=0.1))

    assert told("attempt.stuck") == [("WARNING", "a")]
    assert told("attempt.not_recorded")[0][0] == "ERROR"
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]
    assert execution.step_executions.first().error_type == "StepTimeout"
    assert execution.state is SagaState.SUCCEEDED


def test_a_stuck_attempt_whose_row_another_has_is_not_recorded(stage, told, settings):
    settings.SAGAS = {"GRACE": 0.1}

    def stuck(context):
        SagaExecution.objects.filter(saga_id=context.saga_id).update(version=F("version") + 1, worker="another")
        stay(lambda: told("attempt.recorded_already"))
        return {"late": "result"}

    execution = run(stage.step("a", stuck, timeout=0.5), max_seconds=0)

    assert told("attempt.stuck") == [("WARNING", "a")]
    assert told("attempt.recorded_already") == [("INFO", "a")]
    assert (execution.worker, execution.context, execution.version) == ("another", {}, 2)
    assert not execution.step_executions.exists()
