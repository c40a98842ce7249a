"""One handler for each operation. A handler computes the new columns and writes them with one guarded UPDATE.

A handler raises Stale if the row has changed; the caller then loads the execution again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext

from sagas.conf import get_settings
from sagas.definition import json_values
from sagas.definition.exceptions import InvalidInput, UnknownSaga
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.definition.states import Resolution, SagaState, StateEvent, state_after
from sagas.engine import new_execution, planner
from sagas.engine.history import History, past_attempt, pivot_reached, steps_completed
from sagas.engine.planner import Hold, RollBack
from sagas.models import SagaExecution
from sagas.presentation.execution_view import ExecutionView

from .operation import Command, Operation
from .preview import next_run, released
from .resolution import move_after_resolution, resolution_run
from .row_update import due_now, ended, request, resumed, update


def _retry(view: ExecutionView, command: Command) -> SagaExecution:
    version = view.execution.version + 1
    columns = {"budget_since": version, "keys_since": version, **resumed(view.execution)}
    if view.state is SagaState.PARTIALLY_COMPENSATED:
        state = state_after(view.state, StateEvent.RETRY_COMPENSATIONS)
        return update(view, command, columns | {"state": state})
    history = next_run(view)
    new_run = {
        "state": state_after(view.state, StateEvent.RETRY),
        "run": history.run,
        "context": view.execution.input,
        "plan": list(history.plan),
        "steps_completed": [],
        "failed_step": "",
        "compensation_performed": False,
        "started_at": None,
        "action_started": planner.start_mark(definition_of(view), history),
        "pivot_reached": False,
    }
    return update(view, command, columns | new_run)


def _cancel(view: ExecutionView, command: Command) -> SagaExecution:
    if view.execution.leased:
        return request(view, command, Q(pending_request=None) | Q(pending_request__in=["hold", "verify"]))
    if view.state is SagaState.PENDING:
        event = StateEvent.CANCEL
    else:
        event = StateEvent.ROLL_BACK if view.as_rolling_back().remaining else StateEvent.FAIL
    columns = resumed(view.execution) if event is StateEvent.ROLL_BACK else ended()
    return update(view, command, {"state": state_after(view.state, event), **columns})


def _compensate(view: ExecutionView, command: Command) -> SagaExecution:
    state = state_after(view.state, StateEvent.COMPENSATE)
    columns = {"state": state, "budget_since": view.execution.version + 1}
    return update(view, command, columns | resumed(view.execution))


def _hold(view: ExecutionView, command: Command) -> SagaExecution:
    if view.execution.leased:
        return request(view, command, Q(pending_request=None) | Q(pending_request="verify"))
    named = bool(command.actor.display_name)
    sentence = gettext("Held by %(name)s: %(reason)s") if named else gettext("Held by an operator: %(reason)s")
    held = sentence % {"name": command.actor.display_name, "reason": command.reason}
    columns = {"held": held, "needs_attention": True, "due_at": None, "rank_at": None}
    return update(view, command, columns, data={"cause": "operator"})


def _release(view: ExecutionView, command: Command) -> SagaExecution:
    history = released(view)
    columns: dict[str, Any] = {"budget_since": history.budget_since}
    if view.saga and not view.execution.leased:
        columns["action_started"] = planner.start_mark(view.saga, history)
    return update(view, command, columns | resumed(view.execution))


def _verify(view: ExecutionView, command: Command) -> SagaExecution:
    return update(view, command, {"pending_request": "verify", "held": "", **due_now(view.execution)})


def _resolve(
    view: ExecutionView, command: Command, *, step: str, outcome: str, output: Any = None, evidence: str = ""
) -> SagaExecution:
    resolution = Resolution(outcome)
    if output is not None and (not isinstance(output, Mapping) or resolution is not Resolution.DONE):
        raise InvalidInput({"output": gettext("must be a mapping, and is allowed only with the outcome done")})
    stored = None if output is None else _as_stored(output)
    context = _as_stored(view.execution.context | (stored or {}))
    run = resolution_run(view, step, resolution, output=stored, context=context)
    history = view.history.with_attempt(past_attempt(run))
    columns = {
        "steps_completed": steps_completed(history),
        "context": context,
        "pivot_reached": pivot_reached(definition_of(view), history),
        **_after_resolution(view, history),
    }
    data = {"step": step, "outcome": run.resolution, "evidence": json_values.clean_text(evidence)}
    return update(view, command, columns, data=data, run=run)


def _as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value as the database would return it. Raise InvalidInput if it is not JSON or too large."""
    stored: dict[str, Any] = json.loads(json_values.to_json(value, limit=get_settings().MAX_CONTEXT_BYTES))
    return stored


def _after_resolution(view: ExecutionView, history: History) -> dict[str, Any]:
    """Return the columns after a resolution: the execution ends, continues, or still needs an operator."""
    saga = definition_of(view)
    if view.state is SagaState.PARTIALLY_COMPENSATED:
        settled = {"state": state_after(view.state, StateEvent.RESOLVE), **ended()}
        return {} if planner.remaining(saga, history) else settled
    move = move_after_resolution(view, history)
    if move is None:
        return {}
    if isinstance(move, Hold):
        return {"held": move.reason}
    if isinstance(move, RollBack):
        rolling_back = {"state": state_after(view.state, StateEvent.ROLL_BACK), "failed_step": move.failed_step}
        return rolling_back | resumed(view.execution)
    return {"action_started": planner.start_mark(saga, history), **resumed(view.execution)}


def _acknowledge(view: ExecutionView, command: Command) -> SagaExecution:
    return update(view, command, {"needs_attention": False})


def _correct(view: ExecutionView, command: Command, *, context: Mapping[str, Any]) -> SagaExecution:
    execution = view.execution
    corrected = json.loads(new_execution.input_text(definition_of(view), context))
    changes = json_values.changes_between(execution.input, corrected)
    columns: dict[str, Any] = {"input": corrected}
    if view.state is not SagaState.FAILED:
        columns["context"] = json_values.apply_changes(execution.context, changes)
    before = json_values.changes_between(corrected, execution.input)
    return update(view, command, columns, data={"changes": changes, "former": before})


def definition_of(view: ExecutionView) -> Saga:
    """Return the definition of the execution's saga. Raise UnknownSaga if this process has not registered it."""
    if view.saga is None:
        raise UnknownSaga(view.execution.saga_name, all_sagas())
    return view.saga


HANDLERS: dict[Operation, Callable[..., SagaExecution]] = {
    Operation.RETRY: _retry,
    Operation.CANCEL: _cancel,
    Operation.COMPENSATE: _compensate,
    Operation.HOLD: _hold,
    Operation.RELEASE: _release,
    Operation.VERIFY: _verify,
    Operation.RESOLVE: _resolve,
    Operation.ACKNOWLEDGE: _acknowledge,
    Operation.CORRECT: _correct,
}
