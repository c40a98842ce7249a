"""Rows of the sagas' tables as text, in fixtures and in queries."""

import pytest
from django.core import serializers

from sagas import RetryLater, SagaState, StepFailed
from sagas.models import SagaEvent, SagaExecution, SagaReference, StepRun
from sagas.operations import Operation, perform
from tests.support import run

pytestmark = pytest.mark.django_db

ROWS = {SagaExecution: "id", StepRun: "sequence", SagaEvent: "id", SagaReference: "id"}


@pytest.fixture
def failed(stage, registered, orchestrator):
    """Create an execution with step runs (an output, an error), an event and a reference."""
    saga = registered(
        stage.step("a", {"amount": 1e300, "at": [None, "São Paulo", {"deep": True}]}),
        stage.step("b", StepFailed("no"), {}),
        references=["mail"],
    )
    orchestrator.execute("x", "trip", saga, context={"mail": "Ana@Example.com"})
    return perform(Operation.CORRECT, "x", context={"mail": "Ana@Example.com", "n": 1}, reason="n was missing")


def fixture():
    """Return all rows as `dumpdata` serializes them."""
    return serializers.serialize(
        "json", [row for model, order in ROWS.items() for row in model.objects.order_by(order)]
    )


def test_rows_have_a_short_text(failed):
    assert str(failed) == "trip x"
    texts = ["a action 1: succeeded", "b action 1: failed", "a compensation 1: succeeded"]
    assert [str(step_run) for step_run in failed.step_executions] == texts
    assert [str(event) for event in failed.events.all()] == ["Correct the input"]
    assert [str(reference) for reference in failed.references.all()] == ["mail ana@example.com"]


def test_an_execution_moved_by_a_fixture_continues(stage, orchestrator, failed):
    text = fixture()
    failed.delete()
    assert fixture().strip() == "[]"

    for row in serializers.deserialize("json", text):
        row.save()

    assert fixture() == text
    moved = orchestrator.get_status("x")
    assert (moved.state, moved.context["amount"]) == (SagaState.FAILED, 1e300)
    assert orchestrator.retry_failed("x").state is SagaState.SUCCEEDED
    assert stage.told == ["a", "b", "a.undo", "a", "b"]


def test_a_fixture_with_an_unknown_state_is_refused(failed):
    text = fixture().replace('"state": "failed"', '"state": "gone"')

    with pytest.raises(serializers.base.DeserializationError) as error:
        list(serializers.deserialize("json", text))

    assert "'gone' is not a valid SagaState" in str(error.value)


def test_executions_that_need_attention_are_one_query(stage, failed):
    run(stage.step("a"))
    spent = run(stage.step("a", ValueError(), retry_count=0))
    held = perform(Operation.HOLD, run(stage.step("a", RetryLater(3600)), max_seconds=0.1).saga_id)

    assert list(SagaExecution.objects.needing_attention().order_by("pk")) == [spent, held]
