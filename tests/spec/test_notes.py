"""What people add to a history without changing anything: notes, and that they looked at personal data."""

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
    """A saga that waits before its second step."""
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", RetryLater(3600), {}), stage.step("c"))
    return orchestrator.execute("x", "trip", saga, max_seconds=0.3)


def violations():
    """What saga_verify objects to."""
    return [finding for finding in audit.examine(SagaExecution.objects.all()) if finding.violations]


@pytest.mark.parametrize(("remark", "kind"), [(note, "note"), (reveal, "reveal")])
def test_a_remark_is_kept_with_who_and_why_and_changes_nothing(execution, remark, kind):
    user = User.objects.create_user("sara")
    before = SagaExecution.objects.values().get()

    event = remark("x", "she called again", by=Actor(user=user, source="admin"))

    assert SagaExecution.objects.values().get() == before
    assert execution.events.get() == event
    assert (event.kind, event.reason, event.actor, event.actor_name, event.source) == (
        kind, "she called again", user, "sara", "admin",
    )  # fmt: skip
    assert (event.version, event.run, event.data) == (execution.version, 1, {})


@pytest.mark.parametrize("remark", [note, reveal])
def test_there_are_no_remarks_on_what_does_not_exist(db, remark):
    with pytest.raises(UnknownExecution) as unknown:
        remark("nobody", "hello")

    assert str(unknown.value) == "There is no execution 'nobody'."
    assert not SagaEvent.objects.exists()


def test_a_remark_is_logged_without_its_words(caplog, execution):
    caplog.clear()

    note("x", "Ana Souza called")

    assert [record.getMessage() for record in caplog.records if record.name == "sagas"] == [
        "remark.made kind=note saga_id=x saga=trip source=python"
    ]


@pytest.mark.parametrize("remark", [note, reveal])
def test_a_history_with_remarks_everywhere_is_sound(stage, registered, orchestrator, execution, remark):
    remark("x", "while it waits")
    perform(Operation.HOLD, "x", reason="look")
    remark("x", "while it is held")
    perform(Operation.RELEASE, "x")
    remark("x", "while it goes on")
    orchestrator.resume("x", max_seconds=0.3)
    let_wait_pass(execution)
    orchestrator.resume("x")
    remark("x", "when it has ended")

    assert violations() == []


def test_a_run_that_ended_before_its_last_checkpoint_is_not_settled_by_a_remark(stage, registered, orchestrator):
    registered(stage.step("a", StepFailed("no"), {}))
    orchestrator.start("x", "trip")
    note("x", "before it began")
    orchestrator.resume("x")
    note("x", "when it had failed")
    orchestrator.retry_failed("x")

    assert violations() == []


def test_a_remark_that_comes_late_does_not_make_versions_go_back(execution):
    """Its writer has read the row before a hold and writes after it."""
    seen = execution.version
    perform(Operation.HOLD, "x", reason="look")
    SagaEvent.objects.create(execution=execution, kind="note", reason="late", version=seen)
    perform(Operation.RELEASE, "x")

    assert violations() == []


def test_a_late_remark_of_an_earlier_run_is_no_violation(stage, registered, orchestrator):
    registered(stage.step("a", StepFailed("no"), {}))
    execution = orchestrator.execute("x", "trip")
    seen = execution.version
    orchestrator.retry_failed("x")
    SagaEvent.objects.create(execution=execution, kind="reveal", reason="late", version=seen + 3, run=1)

    assert violations() == []
