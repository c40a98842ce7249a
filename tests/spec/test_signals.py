"""`step_ended` is sent after the commit of each step run; receivers cannot change the execution."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from sagas import SagaState, StepFailed
from sagas.signals import step_ended
from tests.support import run


@pytest.fixture
def receive():
    """Connect a receiver for one test."""
    connected = []

    def connect(receiver):
        step_ended.connect(receiver, weak=False)
        connected.append(receiver)

    yield connect
    for receiver in connected:
        step_ended.disconnect(receiver)


@pytest.mark.django_db(transaction=True)
def test_step_ended_is_sent_after_each_commit(stage, receive):
    told = []

    def receiver(sender, execution, step_run, **_):
        assert not connection.in_atomic_block
        told.append((execution.saga_id, step_run.step, step_run.outcome, Group.objects.count()))

    receive(receiver)
    run(
        stage.step("a", lambda context: Group.objects.create(name="books") and None, transactional=True, undo=None),
        stage.step("b", ValueError("no"), StepFailed("no")),
        saga_id="told",
    )

    assert told == [("told", "a", "succeeded", 1), ("told", "b", "failed", 1), ("told", "b", "failed", 1)]


@pytest.mark.django_db
def test_an_exception_of_a_receiver_is_logged(stage, receive, caplog):
    def receiver(sender, **_):
        raise ValueError("personal")

    receive(receiver)
    execution = run(stage.step("a"))

    assert execution.state is SagaState.SUCCEEDED
    failed = [record for record in caplog.records if getattr(record, "event", "") == "receiver.failed"]
    assert [(record.levelname, record.fields["error_type"]) for record in failed] == [("ERROR", "ValueError")]
    assert "personal" not in failed[0].getMessage()
