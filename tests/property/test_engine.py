"""Compare the engine, the storage and the operations with the reference, and the history with the row."""

from dataclasses import replace

import pytest
from hypothesis import given

from sagas import SagaState
from sagas.definition import registry
from sagas.testing.invariants import violations_of
from tests.support import new_id

from .inline import Inline
from .plans import SagaPlan, sagas
from .reference import AFTER_PIVOT, Reference
from .side_by_side import side_by_side

REASONS = {
    "": "",
    AFTER_PIVOT: "Step {!r} failed for good after the point of no return. "
    "Fix the cause, then release; or mark the step as resolved.",
}
IN_DOUBT = (
    "It is not known whether step {!r}, the point of no return, took effect. "
    "Check with the provider, then mark the step as resolved."
)
# All examples run inside the test's database transaction.
pytestmark = [pytest.mark.untraced, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def forget():
    yield
    registry.unregister("drawn")


def assert_same(driven: Inline, reference: Reference) -> None:
    execution = driven.execution
    assert driven.calls == reference.calls
    assert execution.state is SagaState(reference.state)
    assert execution.run == reference.run
    assert execution.failed_step == reference.failed_step
    assert execution.steps_completed == reference.completed
    assert execution.compensation_performed == reference.performed
    assert execution.held == REASONS.get(reference.held, IN_DOUBT).format(reference.held_at)
    assert execution.needs_attention == reference.attention
    assert execution.context == reference.context
    assert not execution.leased
    assert not execution.pending_request
    assert (execution.finished_at is None) == bool(execution.held)
    assert violations_of(driven.saga, execution.saga_id) == []


@given(sagas(timed=False))
def test_the_engine_does_what_the_design_says_and_its_history_tells_all(plan: SagaPlan):
    hurried = plan.hurried or any(step.verifiable for step in plan.steps)
    plan = replace(plan, hurried=hurried, cancel_during=plan.cancel_during or not hurried)
    saga_id = new_id()
    driven, reference = Inline(plan, saga_id), Reference(plan, saga_id, patience=86400.0)
    registry.unregister("drawn")
    registry.register(driven.saga)
    side_by_side(plan, driven, reference, assert_same)
