"""The checkpoint: one commit that writes an attempt and the new position of its execution (promise 1).

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from sagas import storage
from sagas.definition import json_values
from sagas.definition.states import TERMINAL, Direction, SagaState, state_after
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.models.fields import dumps
from sagas.signals import step_ended
from sagas.storage import Attached, Update, Written, database

from . import planner
from .attempt import AttemptResult
from .history import History, deserves_attention, pivot_reached, roll_back
from .leased_execution import LeasedExecution, LeaseLost
from .logs import log
from .on_change import OnChangeFailed, call_on_change
from .planner import Attempt, Hold, Move, Obey, Rest, RollBack, Settle, Wait


@dataclass(frozen=True)
class Checkpoint:
    """The history after an attempt or a decision, and the move that follows.

    `obeyed` is the request that this checkpoint carries out. `cause` says who holds the row: "engine", "operator" or
    "on_change". `keep_recoveries` keeps the number of recoveries, which is otherwise set to 0.

    `leave` gives the row back although the move could continue at once. `stay` keeps the row although the move would
    give it back, because the move `then` or a request comes first.
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
    then: Move | None = None

    @property
    def parks(self) -> bool:
        """Whether this checkpoint gives the row back."""
        return not self.stay and (self.leave or not isinstance(self.move, Attempt))

    @property
    def before_pivot(self) -> bool:
        """Whether the next move is the pivot's action, made by this owner."""
        move = self.move
        pivots = isinstance(move, Attempt) and move.step.pivot and move.direction is Direction.ACTION
        return pivots and not self.parks and not self.stay

    @cached_property
    def settled(self) -> History:
        """The history in the state that this checkpoint writes."""
        if isinstance(self.move, Settle) and self.parks:
            return self.history.in_state(state_after(self.history.state, self.move.event), self.move.failed_step)
        return self.history


def write(leased: LeasedExecution, checkpoint: Checkpoint) -> Move:
    """Write the checkpoint and update `leased` with it; return the move that follows.

    A pending request comes before any other move (promise 9). If a request arrives before a checkpoint that would
    settle the run or lead to the pivot, the attempt is still written, and the request is obeyed next. If `on_change`
    raises, the row is held instead. Raises LeaseLost if another owner has the row (promise 8).
    """
    wanted = _with_rollback(leased, checkpoint)
    writing, written = wanted, None
    while written is None:
        update = _update(leased, writing)
        attached = _attached(leased, writing, update)
        commit = partial(storage.write_checkpoint, leased.execution, update, attached)
        try:
            written = database.persist(commit, partial(storage.find_written, leased.execution, writing.run))
        except OnChangeFailed as failure:
            writing = _held_instead(leased, wanted, failure)
            continue
        if written is None and (wanted.run is None or writing.stay):
            return request_that_came_first(leased)
        if written is None:
            writing = dataclasses.replace(wanted, stay=True, leave=False)
    _adopt_and_report(leased, writing, update, written)
    if leased.execution.leased and leased.execution.pending_request and not wanted.stay:
        return pending_move(leased)
    return wanted.then or writing.move


def request_that_came_first(leased: LeasedExecution) -> Obey:
    """Return the move that obeys the request because of which a write found no row.

    Raises LeaseLost if there is no such request: then another owner has the row.
    """
    request = database.persist(partial(storage.pending_request_of, leased.execution))
    if not request:
        raise LeaseLost(leased.execution.saga_id)
    leased.execution.pending_request = request
    return pending_move(leased)


def pending_move(leased: LeasedExecution) -> Obey:
    """Return the move that obeys the pending request of the leased execution, and log the request."""
    request = leased.execution.pending_request or ""
    log(logging.INFO, "request.obeyed", saga_id=leased.history.saga_id, request=request)
    return planner.obey(leased.saga, leased.history, request)


def _with_rollback(leased: LeasedExecution, checkpoint: Checkpoint) -> Checkpoint:
    """Replace a RollBack move: start the rollback in this checkpoint, with the first compensation as its move."""
    if not isinstance(checkpoint.move, RollBack):
        return checkpoint
    history = roll_back(checkpoint.history, checkpoint.move.failed_step)
    move = planner.next_move(leased.saga, history, leased.now())
    return dataclasses.replace(checkpoint, history=history, move=move)


def _update(leased: LeasedExecution, checkpoint: Checkpoint) -> Update:
    columns, move = _columns(leased, checkpoint), checkpoint.move
    due_in = None
    if isinstance(move, Wait):
        due_in = max(0.0, (move.until - leased.now()).total_seconds())
    elif isinstance(move, Attempt):
        due_in = 0.0
    result = checkpoint.result
    return Update(
        columns=columns,
        context=(result and result.text) or dumps(result.context if result else leased.context),
        parks=checkpoint.parks,
        due_in=due_in,
        finished=columns["state"] in TERMINAL,
        obeyed=checkpoint.obeyed,
        keep_recoveries=checkpoint.keep_recoveries or checkpoint.run is None,
        unless_requested=checkpoint.parks or checkpoint.before_pivot,
    )


def _columns(leased: LeasedExecution, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the new values of the row's columns, apart from the context."""
    history, move = checkpoint.history, checkpoint.move
    if isinstance(move, Attempt):
        marked = move.direction is Direction.ACTION and planner.needs_start_mark(move.step)
        action_started = False if marked else None
    else:
        action_started = planner.start_mark(leased.saga, history) if isinstance(move, Wait) else None
    columns = checkpoint.settled.progress | {
        "action_started": action_started,
        "pivot_reached": checkpoint.before_pivot or pivot_reached(leased.saga, history),
    }
    if checkpoint.parks:
        columns["leased"] = False
        columns["held"] = move.reason if isinstance(move, Hold) else ""
        columns["needs_attention"] = _needs_attention(leased, checkpoint)
    return columns


def _needs_attention(leased: LeasedExecution, checkpoint: Checkpoint) -> bool:
    move, settled = checkpoint.move, checkpoint.settled
    if isinstance(move, Hold):
        return True
    if isinstance(move, Wait):
        return move.attention or (move.deferred and leased.execution.needs_attention)
    if isinstance(move, Rest):
        return leased.execution.needs_attention
    if settled.state is SagaState.FAILED and isinstance(move, Settle):
        resolved = checkpoint.history.state is SagaState.PARTIALLY_COMPENSATED
        return not resolved and deserves_attention(settled)
    return settled.state is SagaState.PARTIALLY_COMPENSATED


def _attached(leased: LeasedExecution, checkpoint: Checkpoint, update: Update) -> Attached:
    """Return the step run, events, references and callback that commit together with the row."""
    result, events = checkpoint.result, checkpoint.events
    if update.columns.get("held"):
        held = {"held": update.columns["held"], "cause": checkpoint.cause}
        events = (*events, new_event(leased, SagaEvent.Kind.HELD, **held))
    changed: Mapping[str, Any] = result.changes.get("set", {}) if result else {}
    references = {key: result.context.get(key) for key in leased.saga.references if key in changed} if result else {}
    old, new = leased.execution.state, update.columns["state"]
    announced = leased.saga.on_change and old != new and {old, new} & TERMINAL
    callback = partial(_call_on_change, leased, checkpoint, update) if announced else None
    return Attached(checkpoint.run, events, references, callback)


def new_event(leased: LeasedExecution, kind: SagaEvent.Kind, **data: Any) -> SagaEvent:
    """Return an event of the current run with these `data`. It gets its version when it is written."""
    return SagaEvent(execution_id=leased.execution.pk, kind=kind, run=leased.history.run, data=data)


def _call_on_change(leased: LeasedExecution, checkpoint: Checkpoint, update: Update, written: Written) -> None:
    """Call the saga's `on_change` with a copy of the execution that has the values just written."""
    execution = copy.copy(leased.execution)
    _adopt(execution, checkpoint, update, written)
    call_on_change(leased.saga, execution, leased.execution.state)


def _held_instead(leased: LeasedExecution, checkpoint: Checkpoint, failure: OnChangeFailed) -> Checkpoint:
    """Return a checkpoint that writes the same attempt, but holds the row instead of settling the run."""
    reason = json_values.clean_text(
        f"The saga's on_change failed, so its new state was not written: {failure}. Fix the cause, then release."
    )
    log(logging.ERROR, "on_change.failed", **leased.log_fields)
    history, settled = checkpoint.history, checkpoint.settled
    if settled.state is SagaState.FAILED and history.state is SagaState.IN_PROGRESS:
        history = roll_back(history, settled.failed_step)
    return dataclasses.replace(checkpoint, history=history, move=Hold(reason), cause="on_change")


def _adopt_and_report(leased: LeasedExecution, checkpoint: Checkpoint, update: Update, written: Written) -> None:
    execution, old = leased.execution, leased.execution.state
    _adopt(execution, checkpoint, update, written)
    leased.context, leased.history = execution.context, checkpoint.settled
    if execution.state is not old:
        fields = leased.log_fields | {"failed_step": execution.failed_step}
        log(logging.INFO, "saga.state", **fields, old=old, new=execution.state)
    if checkpoint.run and step_ended.receivers:
        database.once_committed(partial(_send_step_ended, leased.execution, checkpoint.run))
    if update.columns.get("held"):
        log(logging.ERROR, "saga.held", **leased.log_fields, cause=checkpoint.cause)


def _adopt(execution: SagaExecution, checkpoint: Checkpoint, update: Update, written: Written) -> None:
    """Give the execution in memory the values that its row has now."""
    for column, value in update.columns.items():
        setattr(execution, column, value)
    execution.version, execution.pending_request = written.version, written.pending_request
    execution.recoveries = written.recoveries
    if checkpoint.result:
        execution.context = checkpoint.result.context
    if checkpoint.parks:
        execution.due_at, execution.finished_at = written.due_at, written.finished_at


def _send_step_ended(execution: SagaExecution, run: StepRun) -> None:
    for receiver, error in step_ended.send_robust(StepRun, execution=execution, step_run=run):
        if isinstance(error, Exception):
            log(logging.ERROR, "receiver.failed", receiver=str(receiver), error_type=type(error).__name__)
