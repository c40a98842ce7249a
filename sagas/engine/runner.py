"""Run one execution until its row is given back: plan, make the attempt, write the checkpoint (promise 1).

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import copy
import datetime as dt
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from django.db import Error as DatabaseError
from django.db import transaction

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.states import Direction, Outcome, SagaState
from sagas.models import SagaEvent, StepRun, time_ordered_uuid
from sagas.storage import database

from . import planner, retry_policy
from .attempt import AttemptResult, make_attempt, new_step_run, timed_out
from .checkpoint import Checkpoint, new_event, pending_move, request_that_came_first, write
from .deadline import Deadline
from .error_classification import Classification
from .history import past_attempt
from .leased_execution import LeasedExecution, LeaseLost
from .logs import log
from .planner import Attempt, Hold, Move, Obey, Request, Wait
from .recovery import recover


def run(leased: LeasedExecution) -> Move:
    """Advance the execution until it waits, ends or is held; return its last move.

    Raises LeaseLost if another owner has the row (promise 8). KeyboardInterrupt and SystemExit from a step are raised
    again after the attempt is written as uncertain and the row is given back. After any other error the lease expires
    at once, so that the next owner recovers the execution.
    """
    with _owned(leased):
        move = recover(leased)
        if move is None:
            move = pending_move(leased) if leased.execution.pending_request else leased.next_move()
        while leased.execution.leased:
            if not _mark_started(leased, move):
                move = request_that_came_first(leased)
            elif isinstance(move, Attempt) and move.in_transaction:
                move = _attempt_in_transaction(leased, move)
            else:
                move = write(leased, _carry_out(leased, move))
        if leased.interruption is not None:
            raise leased.interruption
    return move


def abandon(leased: LeasedExecution, attempt: Attempt, started_at: dt.datetime, deadline: Deadline) -> None:
    """Write a stuck attempt as timed out and give the row back. Runs in another thread.

    The stuck thread can write nothing afterwards, because the version has changed (promise 8).
    """
    own = copy.copy(leased)
    own.execution = copy.copy(leased.execution)
    if not deadline.is_running():
        return  # The call has ended, and its thread may have changed the objects while we copied them.
    log(logging.WARNING, "attempt.stuck", **_log_fields(own, attempt))
    try:
        own.leaving = True
        move = write(own, _checkpoint_of(own, attempt, timed_out(own, attempt, started_at)))
        while own.execution.leased:
            move = write(own, _carry_out(own, move))
    except LeaseLost:
        # Either the call ended at the same moment and its thread keeps the lease, or another owner has the row.
        log(logging.INFO, "attempt.recorded_already", **_log_fields(own, attempt))
        if deadline.is_running():
            leased.give_up_thread()
    except Exception:
        leased.give_up_thread()
        raise
    else:
        leased.give_up_thread()


@contextmanager
def _owned(leased: LeasedExecution) -> Iterator[None]:
    """Stop the renewals at the end. After an error of our own, expire the lease so that the next owner recovers."""
    try:
        yield
    except LeaseLost:
        raise
    except Exception:
        try:
            if leased.execution.leased:
                storage.expire(*leased.fence)
        except DatabaseError as error:
            log(logging.ERROR, "lease.not_given_back", **leased.log_fields, error_type=type(error).__name__)
        raise
    finally:
        leased.stop_renewals()


def _mark_started(leased: LeasedExecution, move: Move) -> bool:
    """Record that an action starts, if recovery or a cancel must know it.

    Return False if a request came first or the lease is lost.
    """
    if not isinstance(move, Attempt) or move.direction is not Direction.ACTION:
        return True
    execution = leased.execution
    action_started = True if planner.needs_start_mark(move.step) else None
    pivot_reached = execution.pivot_reached or move.step.pivot
    if action_started is None and pivot_reached == execution.pivot_reached:
        return True
    if not storage.mark_started(execution, action_started=action_started, pivot_reached=pivot_reached):
        return False
    execution.action_started, execution.pivot_reached = action_started, pivot_reached
    return True


def _carry_out(leased: LeasedExecution, move: Move) -> Checkpoint:
    """Carry out the move; return the checkpoint to write."""
    if isinstance(move, Attempt):
        return _make(leased, move)
    if isinstance(move, Obey):
        return _verify(leased, move) if move.to_verify else _obey(leased, move.request)
    return Checkpoint(leased.history, move)


def _make(leased: LeasedExecution, attempt: Attempt) -> Checkpoint:
    leased.ensure_lease()
    log(logging.DEBUG, "attempt.started", **_log_fields(leased, attempt))
    return _checkpoint_of(leased, attempt, make_attempt(leased, attempt, abandon))


def _attempt_in_transaction(leased: LeasedExecution, attempt: Attempt) -> Move:
    """Commit the step's own writes and its checkpoint together, or neither (promise 12)."""
    leased.ensure_lease()
    log(logging.DEBUG, "attempt.started", **_log_fields(leased, attempt))
    before = copy.copy(leased.execution), leased.history, leased.context
    run_id, started_at = time_ordered_uuid(), leased.now()
    try:
        with database.one_commit():
            result = make_attempt(leased, attempt, abandon)
            if result.classification.outcome is Outcome.SUCCEEDED:
                return write(leased, _checkpoint_of(leased, attempt, replace(result, run_id=run_id)))
            transaction.set_rollback(True, using=database.alias())
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001  (of the commit, or of users' callbacks after it)
        leased.execution, leased.history, leased.context = before
        if database.persist(lambda: storage.find_step_run(leased.execution.pk, run_id)):
            log(logging.WARNING, "commit.answer_lost", **_log_fields(leased, attempt), error_type=type(error).__name__)
            leased.reload()
            return leased.next_move()
        result = AttemptResult(Classification(Outcome.FAILED, error), started_at, leased.context)
    return write(leased, _checkpoint_of(leased, attempt, result))


def _checkpoint_of(leased: LeasedExecution, attempt: Attempt, result: AttemptResult) -> Checkpoint:
    """Return the checkpoint of an attempt that ended: its decision, step run and next move."""
    leased.interrupt(result.interruption)
    now, patience = leased.now(), get_settings().COMPENSATION_PATIENCE
    luck = random.random()  # noqa: S311  (it spreads retries and keeps no secret)
    decision = retry_policy.decide(
        leased.history, attempt, result.classification, result.started_at, now, luck, patience
    )
    run = new_step_run(leased, attempt, result, decision, now)
    _log_end(leased, attempt, run)
    if decision.retry_at and _is_still_pending(leased, run):
        return Checkpoint(leased.history, Wait(decision.retry_at))
    history = leased.history.with_attempt(past_attempt(run))
    move = planner.next_move(leased.saga, history, now)
    return Checkpoint(history, move, run=run, result=result, leave=leased.leaving)


def _is_still_pending(leased: LeasedExecution, run: StepRun) -> bool:
    """Return whether a pending provider gave the same answer as before. Then no step run is written (promise 4).

    Deferred compensations always get a step run, because their retry times come from their step runs.
    """
    step = leased.saga.step(run.step)
    deferred = run.direction == Direction.COMPENSATION and step and planner.is_deferred(leased.history, step)
    if run.outcome != Outcome.PENDING or deferred:
        return False
    same = [past for past in leased.history.attempts if past.step == run.step and past.direction == run.direction]
    return bool(same) and same[-1].outcome is Outcome.PENDING and same[-1].output == run.output


def _verify(leased: LeasedExecution, move: Obey) -> Checkpoint:
    """Make the first of the requested verify attempts. The rest follow as the next move."""
    step, *others = move.to_verify
    checkpoint = _make(leased, planner.verify_attempt(leased.history, step))
    if checkpoint.result and checkpoint.result.interruption:
        return checkpoint
    return replace(checkpoint, leave=False, stay=True, then=Obey(move.request, tuple(others)))


def _obey(leased: LeasedExecution, request: str) -> Checkpoint:
    """Return the checkpoint that carries out a request which an operator made while the row was leased."""
    history = leased.history
    if request == Request.HOLD:
        events = leased.execution.events.using(database.alias())
        asked = database.persist(lambda: events.filter(kind=SagaEvent.Kind.HOLD).latest("id"))
        reason = f"Held by {asked.actor_name or 'an operator'}: {asked.reason}"
        return Checkpoint(history, Hold(reason), obeyed=request, cause="operator")
    cancels = request == Request.CANCEL and history.state is SagaState.IN_PROGRESS
    cancelled = (new_event(leased, SagaEvent.Kind.CANCELLED),) if cancels else ()
    move = planner.move_on_request(leased.saga, history, request, leased.now())
    return Checkpoint(history, move, obeyed=request, events=cancelled, leave=leased.leaving)


def _log_end(leased: LeasedExecution, attempt: Attempt, run: StepRun) -> None:
    """Log how an attempt ended.

    The level of a success or pending answer is DEBUG for a step, INFO for a compensation. It is WARNING if a retry
    follows, otherwise ERROR.
    """
    if run.outcome in (Outcome.SUCCEEDED, Outcome.PENDING):
        level = logging.INFO if attempt.direction is Direction.COMPENSATION else logging.DEBUG
    else:
        level = logging.ERROR if run.ending else logging.WARNING
    details = {"outcome": run.outcome, "error_type": run.error_type, "ending": run.ending}
    log(level, "attempt.ended", **_log_fields(leased, attempt), **details)


def _log_fields(leased: LeasedExecution, attempt: Attempt) -> dict[str, object]:
    names = {"step": attempt.step.name, "direction": attempt.direction, "attempt": attempt.number}
    return leased.log_fields | names
