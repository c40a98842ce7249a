"""Recover an execution from an owner that lost its lease (promises 2 and 11).

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import logging
from functools import partial

from sagas.conf import get_settings
from sagas.definition.states import Direction, Ending, Outcome
from sagas.models import LOST_LEASE, SagaEvent, SagaExecution
from sagas.storage import database

from . import planner
from .attempt import AttemptResult, new_step_run
from .checkpoint import Checkpoint, new_event, write
from .error_classification import Classification
from .history import past_attempt
from .leased_execution import LeasedExecution, LeaseLost
from .logs import log
from .planner import Attempt, Hold, Move, Request
from .retry_policy import RetryDecision


def recover(leased: LeasedExecution) -> Move | None:
    """Write what the previous owner could not write, and return the move that follows.

    Returns None if the previous owner gave the row back, or made no attempt. An attempt that it was making is written
    as uncertain, because it may have taken effect; a transactional one as failed. After MAX_RECOVERIES the attempt ends
    as poison; without an attempt, the row is held (promise 11). Raises LeaseLost if another owner has the row.
    """
    execution = leased.execution
    if not execution.lost:
        return None
    log(logging.WARNING, "lease.lost", **leased.log_fields, recoveries=execution.recoveries)
    poisoned = execution.recoveries >= get_settings().MAX_RECOVERIES
    lost = new_event(leased, SagaEvent.Kind.LOST_LEASE, recoveries=execution.recoveries)
    verifying = execution.pending_request == Request.VERIFY
    attempt = None if verifying else planner.in_flight(leased.saga, leased.history)
    # action_started is False: the start had to be recorded before the call and was not, so nothing was called.
    unmarked = attempt is not None and attempt.direction is Direction.ACTION and execution.action_started is False
    if attempt is not None and not unmarked:
        return write(leased, _lost_attempt(leased, attempt, lost, poisoned=poisoned))
    if not poisoned:
        lost.version = execution.version
        database.persist(partial(_save_event, lost, execution.saga_id))
        return None
    if verifying:
        return write(leased, Checkpoint(leased.history, leased.next_move(), events=(lost,), obeyed=Request.VERIFY))
    reason = f"Its worker crashed {execution.recoveries} times outside any step. Fix the cause, then release."
    return write(leased, Checkpoint(leased.history, Hold(reason), events=(lost,)))


def _lost_attempt(leased: LeasedExecution, attempt: Attempt, lost: SagaEvent, *, poisoned: bool) -> Checkpoint:
    """Return the checkpoint of the attempt in flight: FAILED if its step is transactional, otherwise UNCERTAIN."""
    now = leased.now()
    outcome = Outcome.FAILED if attempt.step.transactional else Outcome.UNCERTAIN
    decision = RetryDecision(outcome, Ending.POISON if poisoned else Ending.NONE)
    result = AttemptResult(Classification(outcome), now, leased.context)
    run = new_step_run(leased, attempt, result, decision, now)
    run.error_type, run.error_message = LOST_LEASE, "the worker crashed or lost its lease during this attempt"
    history = leased.history.with_attempt(past_attempt(run))
    move = planner.next_move(leased.saga, history, now)
    return Checkpoint(history, move, run=run, events=(lost,), keep_recoveries=not poisoned)


def _save_event(lost: SagaEvent, saga_id: str) -> None:
    """Save the event at this version, once: a repeated call after a lost answer finds it.

    Raises LeaseLost if the row is not at our version any more.
    """
    rows = SagaEvent.objects.using(database.alias()).filter(execution_id=lost.execution_id, version=lost.version)
    ours = SagaExecution.objects.using(database.alias()).filter(pk=lost.execution_id, version=lost.version)
    with database.one_commit():
        if ours.select_for_update().first() is None:
            raise LeaseLost(saga_id)
        if not rows.filter(kind=lost.kind).exists():
            lost.save(using=database.alias(), force_insert=True)
