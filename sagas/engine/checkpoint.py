"""From a move to the row: the checkpoint, with all that must commit together with it."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sagas import storage
from sagas.definition import json_values, redaction
from sagas.definition.saga import Saga
from sagas.definition.states import TERMINAL, Direction, SagaState, state_after
from sagas.models import SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from sagas.models.fields import dumps
from sagas.signals import step_ended
from sagas.storage import Moved, Position, database

from . import planner
from .attempt import AttemptResult
from .error_classification import Classification
from .history import (
    History,
    compensation_performed,
    deserves_attention,
    facts_of,
    past_attempt,
    roll_back,
    steps_completed,
)
from .leased_execution import LeasedExecution
from .logs import log
from .planner import Attempt, Hold, Move, Rest, RollBack, Settle, Wait
from .retry_policy import RetryDecision


class OnChangeFailed(Exception):
    """An on_change raised: what it accompanies must not stand."""


@dataclass(frozen=True)
class Step:
    """A checkpoint to write: the history it leaves behind, and the move that follows from it.

    `leave` gives the row back although the move could go on at once, `stay` keeps it although it could not.
    """

    history: History
    move: Move
    run: StepRun | None = None
    result: AttemptResult | None = None
    events: tuple[SagaEvent, ...] = ()
    obeyed: str = ""
    cause: str = "engine"
    keep_recoveries: bool = False
    leave: bool = False
    stay: bool = False


def with_rollback_begun(leased: LeasedExecution, step: Step) -> Step:
    """The same step, with the state changed and the first undo found, if its move is to roll back."""
    if not isinstance(step.move, RollBack):
        return step
    history = roll_back(step.history, step.move.failed_step)
    return dataclasses.replace(step, history=history, move=planner.next_move(leased.saga, history, leased.now()))


def write(leased: LeasedExecution, step: Step) -> Move | None:
    """Write the checkpoint and take it into the tenure; None = the row is not ours, or a request came first.

    Returns the move that was written: where the saga's on_change raised, that is a Hold.
    """
    written, position, moved = _persist(leased, step, _position(leased, step))
    if moved is None:
        return None
    _take_in(leased, written, position, moved)
    return written.move


def step_run(
    leased: LeasedExecution,
    attempt: Attempt,
    started_at: dt.datetime,
    finished_at: dt.datetime,
    decision: RetryDecision,
    ended: Classification,
    written: Mapping[str, Any] | None = None,
) -> StepRun:
    """The row of an attempt that has ended so; `written` is the context as the attempt left it."""
    error = ended.error
    return StepRun(
        id=time_ordered_uuid(),
        execution_id=leased.execution.pk,
        step=attempt.step.name,
        direction=attempt.direction.value,
        run=leased.history.run,
        attempt=attempt.number,
        outcome=decision.outcome.value,
        output=ended.output,
        error_type=type(error).__name__[:100] if error else "",
        error_message=_message(leased.saga, error, leased.execution.input, leased.context, written or {}),
        idempotency_key=attempt.key,
        started_at=started_at,
        finished_at=finished_at,
        worker=leased.execution.worker,
        ending=decision.ending.value,
        retry_at=decision.retry_at,
    )


def history_with(leased: LeasedExecution, run: StepRun) -> History:
    """The history once the run is filed; gives the run its sequence."""
    run.sequence = leased.execution.version + 1
    return leased.history.with_attempt(past_attempt(run))


def pivot_reached(saga: Saga, history: History) -> bool:
    """Whether the pivot has succeeded or is in doubt: then nothing is cancelled any more."""
    views = facts_of(history)
    pivots = [views[step.name] for step in saga if step.pivot and step.name in views]
    return any(view.done or view.in_doubt for view in pivots)


def _message(saga: Saga, error: BaseException | None, *contexts: Mapping[str, Any]) -> str:
    """What the error says, without what is personal: providers quote what they were sent."""
    if error is None:
        return ""
    try:
        return json_values.clean_text(redaction.redact(str(error), saga.personal, *contexts))
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything)
        return "(its message could not be read)"


def _position(leased: LeasedExecution, step: Step) -> Position:
    history, move = step.history, step.move
    leaves = not step.stay and (step.leave or not isinstance(move, Attempt))
    to_pivot = isinstance(move, Attempt) and move.step.pivot and move.direction is Direction.ACTION and not leaves
    state = state_after(history.state, move.event) if isinstance(move, Settle) and leaves else history.state
    return Position(
        state=state,
        context=_context_text(leased, step.result),
        steps_completed=steps_completed(history),
        failed_step=move.failed_step if isinstance(move, Settle) and leaves else history.failed_step,
        compensation_performed=compensation_performed(history),
        keep_recoveries=step.keep_recoveries or step.run is None,
        action_started=_start_mark(leased, history, move),
        pivot_reached=(to_pivot and not step.stay) or pivot_reached(leased.saga, history),
        obeyed=step.obeyed,
        leaves=leaves,
        due_in=_due_in(leased, move),
        finished=state in TERMINAL,
        held=move.reason if isinstance(move, Hold) and leaves else "",
        needs_attention=_needs_attention(leased, history, move, state),
        unless_requested=to_pivot and not step.stay,
    )


def _start_mark(leased: LeasedExecution, history: History, move: Move) -> bool | None:
    if isinstance(move, Attempt):
        return False if move.direction is Direction.ACTION and planner.needs_start_mark(move.step) else None
    return planner.start_mark(leased.saga, history) if isinstance(move, Wait) else None


def _context_text(leased: LeasedExecution, result: AttemptResult | None) -> str:
    return (result and result.text) or dumps(result.context if result else leased.context)


def _due_in(leased: LeasedExecution, move: Move) -> float | None:
    if isinstance(move, Wait):
        return max(0.0, (move.until - leased.now()).total_seconds())
    return 0.0 if isinstance(move, Attempt) else None


def _needs_attention(leased: LeasedExecution, history: History, move: Move, state: SagaState) -> bool:
    if isinstance(move, Hold):
        return True
    if isinstance(move, Wait):
        return move.attention or (move.deferred and leased.execution.needs_attention)
    if isinstance(move, Rest):
        return leased.execution.needs_attention
    if state is SagaState.FAILED and isinstance(move, Settle):
        resolved = history.state is SagaState.PARTIALLY_COMPENSATED
        settled = dataclasses.replace(history, failed_step=move.failed_step)
        return not resolved and deserves_attention(settled)
    return state is SagaState.PARTIALLY_COMPENSATED


def _persist(leased: LeasedExecution, step: Step, position: Position) -> tuple[Step, Position, Moved | None]:
    """What was written in the end: the step as it was meant, or held instead."""

    def find() -> Moved | None:
        if step.run:
            return storage.filed(leased.execution.pk, step.run.pk)
        return storage.find_moved(leased.execution)

    try:
        return step, position, database.persist(lambda: _commit(leased, step, position), find)
    except OnChangeFailed as unsettled:
        held, its_position = _held_instead(leased, step, position, unsettled)
        return held, its_position, database.persist(lambda: _commit(leased, held, its_position), find)


def _commit(leased: LeasedExecution, step: Step, position: Position) -> Moved | None:
    """The row, the run and what belongs to them in one commit; one statement where nothing belongs to them."""
    execution, saga = leased.execution, leased.saga
    new_keys = _reference_keys(leased, step)
    events = _events(leased, step, position)
    announced = saga.on_change and execution.state != position.state and {execution.state, position.state} & TERMINAL
    if not (new_keys or events or announced):
        return storage.checkpoint(execution, position, step.run)
    with database.one_commit():
        moved = storage.checkpoint(execution, position, step.run)
        if moved:
            for event in events:
                event.version = moved.version
                event.save(using=database.alias(), force_insert=True)
            if new_keys and step.result:
                storage.save_references(execution, new_keys, step.result.context)
            if announced:
                _call_on_change(leased, step, position, moved)
        return moved


def _call_on_change(leased: LeasedExecution, step: Step, position: Position, moved: Moved) -> None:
    """Tell the saga's on_change what the row says now."""
    seen = copy.copy(leased.execution)
    _adopt(seen, step, position, moved)
    call_on_change(leased.saga, seen, leased.execution.state)


def call_on_change(saga: Saga, execution: SagaExecution, old: SagaState) -> None:
    """Call its on_change; Unsettled when it raises, except for a broken connection, after which all is repeated.

    It has a savepoint of its own: on PostgreSQL a database error in it would spoil the transaction around it.
    """
    try:
        with database.one_commit():
            if saga.on_change:
                saga.on_change(execution, old, execution.state)
            if database.connection().needs_rollback:
                raise OnChangeFailed("it swallowed an error of the database, which rolls back what it wrote")
    except OnChangeFailed:
        raise
    except Exception as error:
        if not database.connection().is_usable():
            raise
        said = _first_line(_message(saga, error, execution.input, execution.context))
        # Without its cause, whose text is not masked, and which every traceback would print.
        raise OnChangeFailed(f"{type(error).__name__}: {said}") from None


def _first_line(text: str) -> str:
    """Databases put the values of the row, which may be personal, into the lines after it."""
    return next(iter(text.splitlines()), "")


def _held_instead(
    leased: LeasedExecution, step: Step, position: Position, unsettled: OnChangeFailed
) -> tuple[Step, Position]:
    """The attempt is filed all the same; what would have been settled waits for a person."""
    reason = json_values.clean_text(
        f"What follows from its end could not be written down: {unsettled}. Mend it and release."
    )
    log(logging.ERROR, "on_change.failed", saga_id=leased.execution.saga_id, saga=leased.execution.saga_name)
    history = step.history
    if position.state is SagaState.FAILED and history.state is SagaState.IN_PROGRESS:
        history = roll_back(history, position.failed_step)
    held = dataclasses.replace(step, history=history, move=Hold(reason), cause="on_change")
    return held, _position(leased, held)


def _events(leased: LeasedExecution, step: Step, position: Position) -> list[SagaEvent]:
    events = [copy.copy(event) for event in step.events]
    if position.held:
        data = {"held": position.held, "cause": step.cause}
        held = SagaEvent(execution_id=leased.execution.pk, kind=SagaEvent.Kind.HELD, run=leased.history.run, data=data)
        events.append(held)
    return events


def _reference_keys(leased: LeasedExecution, step: Step) -> list[str]:
    changed: Mapping[str, object] = step.result.changes.get("set", {}) if step.result else {}
    return [key for key in leased.saga.references if key in changed]


def _notify(leased: LeasedExecution, run: StepRun) -> None:
    for receiver, error in step_ended.send_robust(StepRun, execution=leased.execution, step_run=run):
        if isinstance(error, Exception):
            log(logging.ERROR, "receiver.failed", receiver=str(receiver), error_type=type(error).__name__)


def _take_in(leased: LeasedExecution, step: Step, position: Position, moved: Moved) -> None:
    execution, old = leased.execution, leased.execution.state
    _adopt(execution, step, position, moved)
    leased.context = execution.context
    leased.history = step.history.in_state(position.state, position.failed_step)
    if execution.state is not old:
        names = {
            "saga_id": execution.saga_id,
            "saga": execution.saga_name,
            "failed_step": execution.failed_step,
        }
        log(logging.INFO, "saga.state", **names, old=old, new=execution.state)
    if step.run and step_ended.receivers:
        database.once_committed(partial(_notify, leased, step.run))
    if position.held:
        log(logging.ERROR, "saga.held", saga_id=execution.saga_id, saga=execution.saga_name, cause=step.cause)


def _adopt(execution: SagaExecution, step: Step, position: Position, moved: Moved) -> None:
    execution.version, execution.pending_request = moved.version, moved.pending_request
    execution.state, execution.failed_step = position.state, position.failed_step
    execution.steps_completed = list(position.steps_completed)
    execution.compensation_performed = position.compensation_performed
    execution.action_started, execution.pivot_reached = position.action_started, position.pivot_reached
    execution.recoveries = execution.recoveries if position.keep_recoveries else 0
    if step.result:
        execution.context = step.result.context
    if position.leaves:
        execution.leased, execution.held = False, position.held
        execution.needs_attention = position.needs_attention
        execution.due_at, execution.finished_at = moved.due_at, moved.finished_at
