"""The effect of an operator's resolution of a step: its step run, and the next move of the execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagas.definition import json_values
from sagas.definition.states import TERMINAL, Direction, Outcome, Resolution
from sagas.engine import planner
from sagas.engine.history import History, key_of, past_attempt
from sagas.engine.leased_execution import worker_name
from sagas.engine.planner import Move
from sagas.models import StepRun, time_ordered_uuid
from sagas.models.clock import CLOCK
from sagas.presentation.execution_view import ExecutionView


def resolution_run(
    view: ExecutionView,
    step: str,
    resolution: Resolution,
    *,
    output: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> StepRun:
    """Build the step run of a resolution. `context` is the execution's context with `output` merged in."""
    execution, now = view.execution, CLOCK.by_host()
    direction = Direction.COMPENSATION if resolution is Resolution.UNDONE else Direction.ACTION
    earlier = sum(past.step == step and past.direction is Direction.RESOLVED for past in view.history.attempts)
    return StepRun(
        id=time_ordered_uuid(),
        execution_id=execution.pk,
        step=step,
        direction=Direction.RESOLVED.value,
        run=execution.run,
        attempt=earlier + 1,
        outcome=(Outcome.FAILED if resolution is Resolution.NOT_DONE else Outcome.SUCCEEDED).value,
        output=output,
        changes=json_values.changes_between(execution.context, context or execution.context),
        idempotency_key=key_of(view.history, step, direction),
        started_at=now,
        finished_at=now,
        worker=worker_name(),
        sequence=execution.version + 1,
        resolution=resolution.value,
    )


def with_resolution(view: ExecutionView, step: str, resolution: Resolution) -> History:
    """Return the history as it would be after the resolution."""
    return view.history.with_attempt(past_attempt(resolution_run(view, step, resolution)))


def move_after_resolution(view: ExecutionView, history: History) -> Move | None:
    """Return the next move after a resolution. `history` includes the resolution.

    Return None if the execution stays held or has ended.
    """
    if view.saga is None or view.state in TERMINAL or view.hold_cause != "engine":
        return None
    return planner.next_move(view.saga, history, CLOCK.by_host())
