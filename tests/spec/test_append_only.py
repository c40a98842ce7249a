"""The history is append-only: the database refuses changes to it."""

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from sagas import RetryLater, StepFailed
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.operations import Actor, Operation, perform
from sagas.storage.append_only import guard, unguard
from sagas.testing import violations_of
from tests.support import new_id

pytestmark = pytest.mark.django_db

ON_POSTGRESQL = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="on SQLite a guard against deleting would stop every test suite's flush"
)
CHANGED = "{table} is append-only: its rows cannot be changed"
DELETED = "{table} is append-only: the history of an unfinished execution cannot be deleted"
VALUES = {"CharField": "x", "TextField": "x", "JSONTextField": {"x": 1}, "UUIDField": "0" * 32}


def columns(model):
    return [field.attname for field in model._meta.concrete_fields]


def another_value(model, column):
    """Return a value that differs from the row's."""
    kind = model._meta.get_field(column).get_internal_type()
    return timezone.now() if kind == "DateTimeField" else VALUES.get(kind, 4711)


@pytest.fixture
def maria():
    return User.objects.create_user("maria")


@pytest.fixture
def unfinished(stage, registered, orchestrator, maria):
    """A waiting execution, held by a user: it has a step run and an event."""
    saga = registered(stage.step("a"), stage.step("b", RetryLater(3600)))
    saga_id = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.1).saga_id
    return perform(Operation.HOLD, saga_id, reason="look", by=Actor(user=maria))


@pytest.fixture
def finished(stage, registered, orchestrator):
    """A failed and acknowledged execution."""
    saga = registered(stage.step("a"), stage.step("b", ValueError("no"), retry_count=0))
    return perform(Operation.ACKNOWLEDGE, orchestrator.execute(new_id(), "trip", saga).saga_id)


def rejection(write):
    """Return the message with which the database refuses the write."""
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        write()
    return str(error.value).splitlines()[0]


def left():
    """Count the step runs and events."""
    return [StepRun.objects.count(), SagaEvent.objects.count()]


@pytest.mark.parametrize(
    ("model", "column"), [(model, column) for model in (StepRun, SagaEvent) for column in columns(model)]
)
def test_no_column_of_the_history_can_be_changed(unfinished, finished, model, column):
    value = another_value(model, column)

    said = rejection(lambda: model.objects.update(**{column: value}))

    assert said == CHANGED.format(table=model._meta.db_table)


@pytest.mark.parametrize("model", [StepRun, SagaEvent])
def test_a_row_of_the_history_cannot_be_saved_again(finished, model):
    row = model.objects.filter(execution=finished).first()

    assert rejection(row.save) == CHANGED.format(table=model._meta.db_table)


def test_sql_by_hand_is_refused(finished):
    def tamper():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE sagas_steprun SET outcome = 'succeeded' WHERE outcome = 'failed'")

    assert rejection(tamper) == CHANGED.format(table="sagas_steprun")


def test_a_deleted_user_keeps_a_name_in_the_history(unfinished, maria):
    maria.delete()

    event = unfinished.events.get()
    assert (event.actor, event.actor_name, event.reason) == (None, "maria", "look")


def test_only_the_actor_of_an_event_can_be_set_to_null(unfinished, maria):
    events = SagaEvent.objects.filter(execution=unfinished)
    other = User.objects.create_user("joana")
    changed = CHANGED.format(table="sagas_event")

    assert rejection(lambda: events.update(actor=None, reason="none")) == changed
    assert rejection(lambda: events.update(actor=other)) == changed
    events.update(actor=None)
    assert rejection(lambda: events.update(actor=maria)) == changed
    assert rejection(lambda: events.update(actor=None)) == changed


@ON_POSTGRESQL
@pytest.mark.parametrize("model", [StepRun, SagaEvent])
def test_the_history_of_an_unfinished_saga_cannot_be_deleted(unfinished, model):
    deleted = DELETED.format(table=model._meta.db_table)

    assert rejection(lambda: model.objects.filter(execution=unfinished).delete()) == deleted


@ON_POSTGRESQL
def test_an_unfinished_execution_cannot_be_deleted(unfinished):
    assert rejection(unfinished.delete).endswith("the history of an unfinished execution cannot be deleted")
    assert SagaExecution.objects.filter(pk=unfinished.pk).exists()


def test_a_finished_saga_is_deleted_with_its_history(finished):
    assert left() == [3, 1]

    finished.delete()

    assert left() == [0, 0]


def test_an_execution_without_a_history_can_be_deleted(stage, registered, orchestrator):
    registered(stage.step("a"))

    orchestrator.start("x", "trip").delete()

    assert not SagaExecution.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_flush_empties_the_tables(unfinished, finished):
    call_command("flush", verbosity=0, interactive=False)

    assert [SagaExecution.objects.count(), *left()] == [0, 0, 0]


@pytest.mark.django_db(transaction=True)
def test_triggers_can_be_dropped_and_created_around_a_history(unfinished):
    with connection.schema_editor() as editor:
        unguard(apps, editor)
    try:
        assert StepRun.objects.update(worker="x") == 2
        assert SagaEvent.objects.update(source="x") == 1
    finally:
        with connection.schema_editor() as editor:
            guard(apps, editor)

    assert rejection(lambda: StepRun.objects.update(worker="y")) == CHANGED.format(table="sagas_steprun")
    assert rejection(lambda: SagaEvent.objects.update(source="y")) == CHANGED.format(table="sagas_event")


def test_no_operation_changes_an_entry_of_the_history(stage, registered, orchestrator, maria):
    """Retries, holds, corrections, resolutions and new runs only add to the history."""
    by = Actor(user=maria, source="admin")
    saga = registered(
        stage.step("a", {"n": 1}, undo=[StepFailed("no"), {}]),
        stage.step("b", ValueError("once"), StepFailed("twice"), {}, retry_count=1),
        references=["n"],
    )
    orchestrator.execute("x", "trip", saga)
    orchestrator.resolve_step("x", "a", "undone", evidence="seen", by=by)
    orchestrator.correct_input("x", {"city": "Recife"}, by=by)
    orchestrator.retry_failed("x", by=by)
    orchestrator.compensate("x", by=by)

    execution = orchestrator.get_status("x")
    assert (execution.state, execution.run) == ("failed", 2)
    assert violations_of(saga, "x") == []
