"""Notes, and the log of access to personal data, change nothing else."""

import pytest
from django.contrib.auth.models import User

from sagas import RetryLater, StepFailed, UnknownExecution
from sagas.models import SagaEvent, SagaExecution
from sagas.monitoring import audit
from sagas.operations import Actor, Operation, note, perform, reveal
from tests.support import let_wait_pass

pytestmark = pytest.mark.django_db


@pytest.fixture
def execution(stage, registered, orchestrator):
    """An execution that waits before its second step."""
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", RetryLater(3600), {}), stage.step("c"))
    return orchestrator.execute("x", "trip", saga, max_seconds=0.3)


def violations():
    """Return the findings of `saga_verify` that contain violations."""
    return [finding for finding in audit.examine(SagaExecution.objects.all()) if finding.violations]


@pytest.mark.parametrize(("add", "kind"), [(note, "note"), (reveal, "reveal")])
def test_a_note_is_kept_with_its_author_and_changes_nothing_else(execution, add, kind):
    user = User.objects.create_user("sara")
    before = SagaExecution.objects.values().get()

    event = add("x", "she called again", by=Actor(user=user, source="admin"))

    assert SagaExecution.objects.values().get() == before
    assert execution.events.get() == event
    assert (event.kind, event.reason, event.actor, event.actor_name, event.source) == (
        kind, "she called again", user, "sara", "admin",
    )  # fmt: skip
    assert (event.version, event.run, event.data) == (execution.version, 1, {})


@pytest.mark.parametrize("add", [note, reveal])
def test_a_note_on_an_unknown_execution_is_refused(db, add):
    with pytest.raises(UnknownExecution) as unknown:
        add("nobody", "hello")

    assert str(unknown.value) == "There is no execution 'nobody'."
    assert not SagaEvent.objects.exists()


def test_a_note_is_logged_without_its_text(caplog, execution):
    caplog.clear()

    note("x", "Ana Souza called")

    assert [record.getMessage() for record in caplog.records if record.name == "sagas"] == [
        "note.added kind=note saga_id=x saga=trip source=python"
    ]


@pytest.mark.parametrize("add", [note, reveal])
def test_notes_at_any_time_keep_the_history_sound(stage, registered, orchestrator, execution, add):
    add("x", "while it waits")
    perform(Operation.HOLD, "x", reason="look")
    add("x", "while it is held")
    perform(Operation.RELEASE, "x")
    add("x", "while it goes on")
    orchestrator.resume("x", max_seconds=0.3)
    let_wait_pass(execution)
    orchestrator.resume("x")
    add("x", "when it has ended")

    assert violations() == []


def test_a_note_between_two_runs_keeps_the_history_sound(stage, registered, orchestrator):
    registered(stage.step("a", StepFailed("no"), {}))
    orchestrator.start("x", "trip")
    note("x", "before it began")
    orchestrator.resume("x")
    note("x", "when it had failed")
    orchestrator.retry_failed("x")

    assert violations() == []


def test_a_note_that_is_written_late_keeps_the_history_sound(execution):
    """The author of the note read the row before a hold and writes after the hold."""
    seen = execution.version
    perform(Operation.HOLD, "x", reason="look")
    SagaEvent.objects.create(execution=execution, kind="note", reason="late", version=seen)
    perform(Operation.RELEASE, "x")

    assert violations() == []


def test_a_late_note_on_an_earlier_run_keeps_the_history_sound(stage, registered, orchestrator):
    registered(stage.step("a", StepFailed("no"), {}))
    execution = orchestrator.execute("x", "trip")
    seen = execution.version
    orchestrator.retry_failed("x")
    SagaEvent.objects.create(execution=execution, kind="reveal", reason="late", version=seen + 3, run=1)

    assert violations() == []
