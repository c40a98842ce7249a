"""Build the JSON of executions, in the reader's language. It does not contain the input."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sagas import operations
from sagas.definition.registry import all_sagas
from sagas.definition.states import Priority, SagaState
from sagas.engine.history import History, outputs
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.presentation import messages
from sagas.presentation.execution_view import ExecutionView, view_of
from sagas.presentation.redactor import Redactor, redactor_for, redactors_for

from .access import Reader


def summaries(executions: Sequence[SagaExecution], reader: Reader) -> list[dict[str, Any]]:
    """Return the JSON of the executions in a list."""
    by_hand = messages.settled_by_hand(executions)
    redactors = redactors_for(executions, personal=reader.sees_personal_data)
    return [_summary(row, redactors[row.pk], {"by_hand": row.pk in by_hand}) for row in executions]


def _summary(execution: SagaExecution, redactor: Redactor, known: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of an execution. `known` has keyword arguments for `messages.message`."""
    saga = all_sagas().get(execution.saga_name)
    return {
        "saga_id": execution.saga_id,
        "saga": execution.saga_name,
        "state": execution.state.value,
        "customer_state": messages.customer_state(execution).value,
        "message": messages.message(execution, saga, redactor, **known),
        "run": execution.run,
        "steps_planned": len(execution.plan),
        "steps_completed": list(execution.steps_completed),
        "failed_step": execution.failed_step,
        "compensation_performed": execution.compensation_performed,
        "needs_attention": execution.needs_attention,
        "held": bool(execution.held),
        "cancelling": execution.pending_request == "cancel",
        "priority": Priority(execution.priority).name.lower(),
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "finished_at": execution.finished_at,
        "version": execution.version,
    }


def detail(execution: SagaExecution, reader: Reader) -> dict[str, Any]:
    """Return an execution with its steps and, after success, its result."""
    return _detail(view_of(execution), reader)


def receipt(execution: SagaExecution, reader: Reader) -> dict[str, Any]:
    """Return the execution as it was just after the start. A repeated request therefore gets the same response."""
    saga = all_sagas().get(execution.saga_name)
    fresh = copy.copy(execution)
    fresh.state, fresh.run, fresh.version, fresh.context = SagaState.PENDING, 1, 1, execution.input
    fresh.plan = list(saga.names) if saga and execution.run > 1 else execution.plan
    fresh.steps_completed, fresh.failed_step, fresh.held, fresh.pending_request = [], "", "", None
    fresh.compensation_performed = fresh.needs_attention = fresh.leased = False
    fresh.started_at = fresh.finished_at = None
    history = History(execution.saga_id, 1, SagaState.PENDING, tuple(fresh.plan))
    return _detail(ExecutionView(fresh, saga, history), reader)


def history(execution: SagaExecution, reader: Reader) -> dict[str, Any]:
    """Return all attempts and events. Only readers who may see all executions get errors, reasons and actors."""
    events = execution.events.order_by("id")
    saga = all_sagas().get(execution.saga_name)
    redactor = redactor_for(execution, saga, personal=reader.sees_personal_data, events=events)
    return {
        "step_runs": [_step_run(run, redactor, reader) for run in execution.step_runs.order_by("sequence")],
        "events": [_event(event, redactor, reader) for event in events],
    }


def preview(found: operations.Preview) -> dict[str, Any]:
    """Return the JSON of a preview."""
    return {
        "action": found.operation.value,
        "saga_id": found.saga_id,
        "version": found.version,
        "sentence": found.sentence,
        "calls": [{"step": call.step, "direction": call.direction.value} for call in found.calls],
        "not_repeated": list(found.not_repeated),
        "in_doubt": list(found.in_doubt),
    }


def _detail(view: ExecutionView, reader: Reader) -> dict[str, Any]:
    redactor = redactor_for(view.execution, view.saga, personal=reader.sees_personal_data)
    lines = messages.step_texts(view, redactor)
    steps = [{"name": line.name, "status": line.status.value, "sentence": line.sentence} for line in lines]
    summary = _summary(view.execution, redactor, {"history": view.history})
    result = None
    if view.state is SagaState.SUCCEEDED and not redactor.shows_nothing:
        by_step = outputs(view.history)
        result = {step: output if redactor.shows_personal else redactor(output) for step, output in by_step.items()}
    return summary | {"steps": steps, "result": result}


def _step_run(run: StepRun, redactor: Redactor, reader: Reader) -> dict[str, Any]:
    shown = {
        "step": run.step,
        "direction": run.direction,
        "run": run.run,
        "attempt": run.attempt,
        "outcome": run.outcome,
        "ending": run.ending,
        "resolution": run.resolution,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "sequence": run.sequence,
    }
    if reader.sees_all:
        shown |= {"error_type": run.error_type, "error": redactor(run.error_message), "worker": run.worker}
    return shown


def _event(event: SagaEvent, redactor: Redactor, reader: Reader) -> dict[str, Any]:
    shown = {"kind": event.kind, "at": event.at, "run": event.run, "version": event.version}
    if reader.sees_all:
        shown |= {"actor": event.actor_name, "source": event.source, "reason": redactor(event.reason)}
    return shown
