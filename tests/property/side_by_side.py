"""Run one plan on two implementations and compare them."""

from collections.abc import Callable
from typing import Any

from hypothesis import note

from .plans import SagaPlan
from .reference import Reference


def side_by_side(
    plan: SagaPlan, driven: Any, reference: Reference, assert_same: Callable[[Any, Reference], None]
) -> None:
    """Run both until they stop. Then apply each operation of the plan that is possible to both, and compare again."""
    driven.go()
    reference.go()
    note(f"{reference.calls} {reference.state} {reference.held}")
    assert_same(driven, reference)

    for choice in plan.acts:
        acts = reference.possible_acts()
        if not acts:
            break
        operation = acts[choice % len(acts)]
        note(f"{operation}")
        driven.operation(*operation)
        reference.operation(*operation)
        note(f"{reference.calls} {reference.state} {reference.held}")
        assert_same(driven, reference)
