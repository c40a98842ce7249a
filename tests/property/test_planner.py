"""Compare the planner with the reference on a simulated clock: long waits, patience and worker crashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas.engine import planner
from sagas.engine.history import compensation_performed, steps_completed

from .clockwork import Clockwork
from .plans import sagas
from .reference import AFTER_PIVOT, Reference
from .side_by_side import side_by_side

HELD = {AFTER_PIVOT: "failed for good after the point of no return", "": ""}


def assert_same(driven: Clockwork, reference: Reference) -> None:
    history = driven.history
    assert driven.calls == reference.calls
    assert driven.moments == reference.moments
    assert history.state.value == reference.state
    assert history.run == reference.run
    assert history.failed_step == reference.failed_step
    assert steps_completed(history) == reference.completed
    assert compensation_performed(history) == reference.performed
    assert HELD.get(reference.held, "It is not known whether step") in driven.held
    assert bool(driven.held) == bool(reference.held)
    assert driven.held or driven.attention == reference.attention
    assert driven.alarm_at == reference.alarm_at
    if history.state.value in ("compensating", "partially_compensated"):
        assert planner.remaining(driven.saga, history) == [step.name for step in reference.remaining]


@pytest.mark.untraced
@given(sagas(timed=True), st.sampled_from([10.0, 5000.0, 86400.0]))
def test_the_planner_does_what_the_design_says_at_the_moment_it_says(plan, patience):
    driven, reference = Clockwork(plan, "x", patience=patience), Reference(plan, "x", patience=patience)

    side_by_side(plan, driven, reference, assert_same)
