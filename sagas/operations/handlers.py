"""Doing it: each act is one guarded UPDATE; no row = somebody was quicker, and all is looked at anew."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext

from sagas import storage
from sagas.conf import get_settings
from sagas.definition import json_values
from sagas.definition.exceptions import InvalidInput, UnknownSaga
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.definition.states import (
    TERMINAL,
    UNFINISHED,
    Direction,
    Outcome,
    Resolution,
    SagaState,
    StateEvent,
    state_after,
)
from sagas.engine import checkpoint, new_execution, planner
from sagas.engine.history import History, key_of, past_attempt, steps_completed
from sagas.engine.leased_execution import worker_name
from sagas.engine.planner import Hold, RollBack
from sagas.models import SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from sagas.models.clock import CLOCK
from sagas.presentation.execution_view import ExecutionView
from sagas.storage import database

from .base import Actor, Operation
from .preview import move_after_resolution, next_run, released

TOLD = ("run", "plan", "failed_step", "held")


class Stale(Exception):
    """The row moved between the look and the write."""


def _retry(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    execution, version = view.execution, view.execution.version + 1
    if view.state is SagaState.PARTIALLY_COMPENSATED:
        again = state_after(view.state, StateEvent.RETRY_COMPENSATIONS)
        since = {"budget_since": version, "keys_since": version}
        return _move(view, Operation.RETRY, by, reason, {"state": again, **since, **_going_on(execution)})
    history = next_run(view)
    fresh = {
        "state": state_after(view.state, StateEvent.RETRY),
        "run": history.run,
        "context": execution.input,
        "plan": list(history.plan),
        "steps_completed": [],
        "failed_step": "",
        "compensation_performed": False,
        "started_at": None,
        "budget_since": version,
        "keys_since": version,
        "action_started": planner.start_mark(definition_of(view), history),
        "pivot_reached": False,
    }
    return _move(view, Operation.RETRY, by, reason, fresh | _going_on(execution))


def _cancel(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    if view.execution.leased:
        return _request(
            view, Operation.CANCEL, by, reason, Q(pending_request=None) | Q(pending_request__in=["hold", "verify"])
        )
    if view.state is SagaState.PENDING:
        failed = state_after(view.state, StateEvent.CANCEL)
        return _move(view, Operation.CANCEL, by, reason, {"state": failed, **_ended()})
    if view.as_rolling_back().remaining:
        as_rolling_back = state_after(view.state, StateEvent.ROLL_BACK)
        return _move(view, Operation.CANCEL, by, reason, {"state": as_rolling_back, **_going_on(view.execution)})
    failed = state_after(view.state, StateEvent.FAIL)
    return _move(view, Operation.CANCEL, by, reason, {"state": failed, **_ended()})


def _compensate(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    state = state_after(view.state, StateEvent.COMPENSATE)
    fields = {"state": state, "budget_since": view.execution.version + 1}
    return _move(view, Operation.COMPENSATE, by, reason, fields | _going_on(view.execution))


def _hold(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    if view.execution.leased:
        return _request(view, Operation.HOLD, by, reason, Q(pending_request=None) | Q(pending_request="verify"))
    held = _held_by(by, reason)
    told = {"held": held, "cause": "operator"}
    fields = {"held": held, "needs_attention": True, "due_at": None, "rank_at": None}
    return _move(view, Operation.HOLD, by, reason, fields, told)


def _held_by(by: Actor, reason: str) -> str:
    if by.display_name:
        return gettext("Held by %(name)s: %(reason)s") % {"name": by.display_name, "reason": reason}
    return gettext("Held by an operator: %(reason)s") % {"reason": reason}


def _release(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    history = released(view)
    fresh: dict[str, Any] = {"budget_since": history.budget_since}
    if view.saga and not view.execution.leased:
        fresh["action_started"] = planner.start_mark(view.saga, history)
    return _move(view, Operation.RELEASE, by, reason, fresh | _going_on(view.execution))


def _verify(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    return _move(view, Operation.VERIFY, by, reason, {"pending_request": "verify", "held": "", **_due(view.execution)})


def _resolve(
    view: ExecutionView,
    by: Actor,
    reason: str,
    *,
    step: str,
    outcome: Resolution | str,
    output: Any = None,
    evidence: str = "",
) -> SagaExecution:
    run, context = _resolution(view, step, Resolution(outcome), output)
    saga = definition_of(view)
    history = view.history.with_attempt(past_attempt(run))
    data = {"step": step, "outcome": run.resolution, "evidence": json_values.clean_text(evidence)}
    changes = {
        "steps_completed": steps_completed(history),
        "context": context,
        "pivot_reached": checkpoint.pivot_reached(saga, history),
        **_after_resolution(view, history),
    }
    return _move(view, Operation.RESOLVE, by, reason, changes, data, run)


def _resolution(view: ExecutionView, step: str, resolution: Resolution, output: Any) -> tuple[StepRun, dict[str, Any]]:
    """The step run of a person's word, and the context with the output it brings."""
    execution, now = view.execution, CLOCK.by_host()
    limit = get_settings().MAX_CONTEXT_BYTES
    if output is not None and (not isinstance(output, Mapping) or resolution is not Resolution.DONE):
        raise InvalidInput({"output": gettext("must be a mapping, and goes with the outcome done")})
    stored = json.loads(json_values.to_json(output, limit=limit)) if output is not None else None
    context = json.loads(json_values.to_json(execution.context | (stored or {}), limit=limit))
    direction = Direction.COMPENSATION if resolution is Resolution.UNDONE else Direction.ACTION
    former = sum(r.step == step and r.direction is Direction.RESOLVED for r in view.history.attempts)
    run = StepRun(
        id=time_ordered_uuid(),
        execution_id=execution.pk,
        step=step,
        direction=Direction.RESOLVED.value,
        run=execution.run,
        attempt=former + 1,
        outcome=(Outcome.FAILED if resolution is Resolution.NOT_DONE else Outcome.SUCCEEDED).value,
        output=stored,
        changes=json_values.changes_between(execution.context, context),
        idempotency_key=key_of(view.history, step, direction),
        started_at=now,
        finished_at=now,
        worker=worker_name(),
        sequence=execution.version + 1,
        resolution=resolution.value,
    )
    return run, context


def _after_resolution(view: ExecutionView, history: History) -> dict[str, Any]:
    """What the person's word makes of the execution: ended, going on, or still waiting for a person."""
    saga = definition_of(view)
    if view.state is SagaState.PARTIALLY_COMPENSATED:
        if planner.remaining(saga, history):
            return {}
        return {"state": state_after(view.state, StateEvent.RESOLVE), **_ended()}
    move = move_after_resolution(view, history)
    if move is None:
        return {}
    if isinstance(move, Hold):
        return {"held": move.reason}
    if isinstance(move, RollBack):
        as_rolling_back = state_after(view.state, StateEvent.ROLL_BACK)
        return {"state": as_rolling_back, "failed_step": move.failed_step, **_going_on(view.execution)}
    return {"action_started": planner.start_mark(saga, history), **_going_on(view.execution)}


def _acknowledge(view: ExecutionView, by: Actor, reason: str) -> SagaExecution:
    return _move(view, Operation.ACKNOWLEDGE, by, reason, {"needs_attention": False})


def _correct(view: ExecutionView, by: Actor, reason: str, *, context: Mapping[str, Any]) -> SagaExecution:
    execution, saga = view.execution, definition_of(view)
    corrected = json.loads(new_execution.input_text(saga, context))
    changes = json_values.changes_between(execution.input, corrected)
    former = json_values.changes_between(corrected, execution.input)
    fields: dict[str, Any] = {"input": corrected}
    if view.state is not SagaState.FAILED:
        fields["context"] = json_values.apply_changes(execution.context, changes)
    return _move(view, Operation.CORRECT, by, reason, fields, {"changes": changes, "former": former})


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


def _request(view: ExecutionView, operation: Operation, by: Actor, reason: str, unless: Q) -> SagaExecution:
    """Ask the owner of a leased row; its next checkpoint obeys. The version stays, so the owner loses nothing."""
    rows = SagaExecution.objects.using(database.alias()).filter(unless, pk=view.execution.pk, leased=True)
    if view.bound:
        rows = rows.filter(version=view.execution.version)
    if operation is Operation.CANCEL:
        rows = rows.filter(state=SagaState.IN_PROGRESS, pivot_reached=False)
    else:
        rows = rows.filter(state__in=UNFINISHED)
    with database.one_commit():
        if not rows.update(pending_request=operation.value):
            raise Stale
        view.execution.refresh_from_db(using=database.alias())
        _tell(view, operation, by, reason, {"requested": True})
    return view.execution


def _move(
    view: ExecutionView,
    operation: Operation,
    by: Actor,
    reason: str,
    fields: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    run: StepRun | None = None,
) -> SagaExecution:
    """Change a row that nobody has in hand, with its event, in one commit."""
    execution, old = view.execution, view.state
    # A held row that is leased is nobody's: its last owner died, and whoever goes on puts down what it was about.
    mine = SagaExecution.objects.using(database.alias()).filter(
        Q(leased=False) | ~Q(held=""), pk=execution.pk, version=execution.version
    )
    with database.one_commit():
        if not mine.update(version=execution.version + 1, **fields):
            raise Stale
        execution.refresh_from_db(using=database.alias())
        if run:
            run.save(using=database.alias(), force_insert=True)
        if new := [
            key for key in view.references if key in fields.get("input", {}) or key in fields.get("context", {})
        ]:
            storage.save_references(execution, new, execution.context | fields.get("input", {}))
        if fields.get("due_at") is not None:
            storage.wake_workers()
        told: dict[str, Any] = {name: fields[name] for name in TOLD if name in fields}
        _tell(view, operation, by, reason, {"from": old, "to": execution.state} | told | dict(data or {}))
        saga = view.saga
        if saga and saga.on_change and old is not execution.state and {old, execution.state} & TERMINAL:
            checkpoint.call_on_change(saga, execution, old)
    return execution


def _tell(view: ExecutionView, operation: Operation, by: Actor, reason: str, data: Mapping[str, Any]) -> None:
    SagaEvent.objects.using(database.alias()).create(
        execution=view.execution,
        kind=SagaEvent.Kind(operation.value),
        actor=by.user,
        actor_name=by.display_name,
        source=by.source,
        reason=reason,
        version=view.execution.version,
        run=view.execution.run,
        data=dict(data),
    )


def _going_on(execution: SagaExecution) -> dict[str, Any]:
    """Columns of an execution that goes on at once."""
    unheld = {"held": "", "needs_attention": False, "finished_at": None, "recoveries": 0, "pending_request": None}
    return unheld | _due(execution)


def _due(execution: SagaExecution) -> dict[str, Any]:
    ageing = dt.timedelta(seconds=get_settings().AGEING * execution.priority)
    return {"due_at": CLOCK.now(), "rank_at": CLOCK.now() - ageing}


def _ended() -> dict[str, Any]:
    """Columns of an execution that an act has ended; nobody needs to look at what a person decided."""
    unheld = {"held": "", "needs_attention": False, "pending_request": None}
    return unheld | {"due_at": None, "rank_at": None, "finished_at": CLOCK.now()}


def definition_of(view: ExecutionView) -> Saga:
    """The saga's definition; acts that need one are refused without it."""
    if view.saga is None:
        raise UnknownSaga(view.execution.saga_name, all_sagas())
    return view.saga
