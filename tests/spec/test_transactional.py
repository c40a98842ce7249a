"""Promises 10 and 12, traps 6 and 7: the engine's transactions and the step's."""

import threading
import time

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F

from sagas import InsideTransaction, SagaState, StepFailed, StillPending
from sagas.models import SagaExecution
from tests.support import lost, new_id, run, story


def groups():
    return sorted(Group.objects.values_list("name", flat=True))


def enters(name, outcome=None):
    """Return a step function that writes into our own database."""

    def function(context):
        Group.objects.create(name=name)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return function


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [ValueError("no"), StepFailed("no"), lost(), StillPending(0), TimeoutError()], ids=repr
)
def test_a_transactional_step_that_raises_has_certainly_done_nothing(stage, error):
    execution = run(stage.step("enter", enters("books", error), transactional=True, retry_count=0))

    assert groups() == []
    assert execution.state is SagaState.FAILED
    assert stage.told == ["enter"]
    assert story(execution) == ["enter action 1 failed"]


@pytest.mark.django_db
def test_a_transactional_compensation_that_raises_is_tried_again(stage):
    def leave(context):
        Group.objects.all().delete()

    def half(context):
        leave(context)
        raise ValueError

    execution = run(
        stage.step("enter", enters("books"), undo=[half, leave], transactional=True),
        stage.step("mail", StepFailed("no")),
    )

    assert groups() == []
    assert execution.state is SagaState.FAILED
    assert story(execution)[2:] == ["enter compensation 1 failed", "enter compensation 2 succeeded"]


@pytest.mark.django_db(transaction=True)
def test_a_transactional_step_and_its_checkpoint_commit_together(stage):
    """Another connection sees the step's write and its checkpoint together, or neither."""
    seen = []

    def look():
        execution = SagaExecution.objects.get(saga_id="together")
        seen.append((groups(), execution.steps_completed, execution.step_runs.count()))
        connections.close_all()

    def elsewhere():
        watcher = threading.Thread(target=look)
        watcher.start()
        watcher.join()

    def action(context):
        Group.objects.create(name="books")
        elsewhere()

    def then(context):
        elsewhere()

    execution = run(stage.step("enter", action, transactional=True), stage.step("mail", then), saga_id="together")

    assert seen == [([], [], 0), (["books"], ["enter"], 1)]
    assert execution.state is SagaState.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_a_transactional_step_of_an_owner_that_lost_the_row_is_rolled_back(stage):
    def too_late(context):
        Group.objects.create(name="books")
        SagaExecution.objects.filter(saga_id=context.saga_id).update(version=F("version") + 1)

    execution = run(stage.step("enter", too_late, transactional=True), max_seconds=0.1)

    assert groups() == []
    assert execution.state is SagaState.IN_PROGRESS
    assert not execution.step_runs.exists()


@pytest.mark.django_db
def test_a_transactional_step_is_cut_off_at_a_third_of_the_lease(stage, settings):
    settings.SAGAS = {"LEASE": 0.9}

    def slow(context):
        Group.objects.create(name="books")
        time.sleep(10)

    begun = time.monotonic()
    execution = run(stage.step("enter", slow, transactional=True, retry_count=0, timeout=60))

    assert time.monotonic() - begun < 5
    assert groups() == []
    assert story(execution) == ["enter action 1 failed"]
    assert execution.step_executions.get().error_type == "StepTimeout"


@pytest.mark.django_db
def test_a_swallowed_database_error_does_not_lose_the_saga(stage):
    def twice(context):
        Group.objects.create(name="books")
        try:
            Group.objects.create(name="books")
        except IntegrityError:
            return {"there": "already"}

    execution = run(stage.step("enter", twice, transactional=True, retry_count=0))

    assert execution.state is SagaState.FAILED
    assert execution.step_executions.get().error_type in ("TransactionManagementError", "InternalError")
    assert groups() == []


@pytest.mark.django_db(transaction=True)
def test_an_exception_in_the_steps_own_atomic_keeps_the_failed_step_run(stage):
    def action(context):
        with transaction.atomic():
            Group.objects.create(name="books")
            raise ValueError("no such account")

    execution = run(stage.step("enter", action, retry_count=0))

    assert groups() == []
    assert execution.step_executions.get().error_message == "no such account"
    assert execution.state is SagaState.FAILED


@pytest.mark.django_db(transaction=True)
def test_no_step_is_called_inside_a_transaction_that_we_hold_open(stage):
    open_blocks = {}

    def note(name):
        def function(context):
            open_blocks[name] = connection.in_atomic_block

        return function

    run(
        stage.step("a", note("a"), undo=[note("a.undo")]),
        stage.step("b", note("b"), undo=[note("b.undo")], transactional=True),
        stage.step("c", lost(), undo=[note("c.undo")], idempotent=False, pivot=True),
    )

    assert open_blocks == {"a": False, "b": True, "c.undo": False, "b.undo": True, "a.undo": False}


SENTENCE = (
    "{} runs steps and must not be called inside an open transaction; "
    "use start(), which joins it, or call it after the commit."
)


@pytest.mark.django_db
@pytest.mark.parametrize("call", ["execute", "resume", "retry_failed", "compensate", "verify"])
def test_nothing_runs_inline_inside_an_open_transaction(stage, registered, orchestrator, call):
    saga = registered(stage.step("a"))
    arguments = ["x", "trip", saga] if call == "execute" else ["x"]

    with pytest.raises(InsideTransaction) as error, transaction.atomic():
        getattr(orchestrator, call)(*arguments)

    assert str(error.value) == SENTENCE.format(f"{call}()")
    assert stage.told == []
    assert not SagaExecution.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_runs_inline_without_autocommit(stage, orchestrator):
    transaction.set_autocommit(False)
    try:
        with pytest.raises(InsideTransaction):
            run(stage.step("a"))
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert stage.told == []


@pytest.mark.django_db(transaction=True)
def test_start_joins_the_callers_transaction(stage, registered, orchestrator):
    registered(stage.step("a"), references=["sale"])

    with transaction.atomic():
        orchestrator.start("joined", "trip", context={"sale": 1})
        transaction.set_rollback(True)
    assert orchestrator.get_status("joined") is None

    with transaction.atomic():
        orchestrator.start("joined", "trip", context={"sale": 1})
    assert orchestrator.get_status("joined").state is SagaState.PENDING


# An acknowledgement lost between the engine and the database.


def cut_the_connection():
    """End the session of this thread's connection, as a restart of the server does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]

    def elsewhere():
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        connections.close_all()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()


only_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no connection that could be cut"
)


@only_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("options", [{}, {"idempotent": False}, {"pivot": True}], ids=str)
def test_a_connection_cut_during_a_step_costs_the_step_nothing(stage, options):
    def cut(context):
        cut_the_connection()
        return {"id": 7}

    execution = run(stage.step("a"), stage.step("b", cut, **options), stage.step("c", undo=None))

    assert stage.told == ["a", "b", "c"]
    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"id": 7}
    assert story(execution) == [f"{name} action 1 succeeded" for name in "abc"]
    assert not execution.events.exists()


@only_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_transactional_step_whose_connection_is_cut_is_repeated(stage):
    def cut(context):
        Group.objects.create(name="books")
        cut_the_connection()

    execution = run(stage.step("a", cut, enters("books"), transactional=True))

    assert groups() == ["books"]
    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 failed", "a action 2 succeeded"]


@only_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_checkpoint_whose_acknowledgement_got_lost_is_not_written_twice(stage):
    """The server commits, but the connection breaks before the acknowledgement arrives."""

    class Cut:
        def __init__(self):
            self.done = False

        def __call__(self, execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if "INSERT INTO sagas_steprun" in sql and not self.done:
                self.done = True
                cut_the_connection()
                context["connection"].connection.close()
                raise_as_lost()
            return result

    def raise_as_lost():
        from django.db import OperationalError

        raise OperationalError("server closed the connection unexpectedly")

    cut = Cut()
    with connection.execute_wrapper(cut):
        execution = run(stage.step("a", {"id": 1}), stage.step("b"), saga_id=new_id())

    assert cut.done
    assert stage.told == ["a", "b"]
    assert execution.state is SagaState.SUCCEEDED
    assert [run.sequence for run in execution.step_executions] == [2, 3]
    assert not execution.events.exists()
