"""Carries the planner's moves out: makes the attempt, writes the checkpoint, asks again."""

from __future__ import annotations

import copy
import datetime as dt
import logging
import random
from dataclasses import replace
from functools import partial
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.states import Direction, Ending, Outcome, SagaState, StateEvent
from sagas.models import LOST_LEASE, SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from sagas.storage import database

from . import checkpoint, planner, retry_policy
from .attempt import AttemptResult, make_attempt, timed_out
from .checkpoint import Step
from .deadline import Deadline
from .error_classification import Classification
from .history import in_doubt, roll_back
from .leased_execution import LeasedExecution, LeaseLost
from .logs import log
from .planner import Attempt, Hold, Move, RollBack, Settle, Wait
from .retry_policy import RetryDecision

CANCEL, HOLD, VERIFY = "cancel", "hold", "verify"


def run(leased: LeasedExecution) -> Move:
    """Go on with the execution until it has to wait, has ended or is held; returns which.

    LeaseLost: somebody else has it. KeyboardInterrupt and SystemExit out of a step are raised again, after the
    attempt was put down as UNCERTAIN and the row given back.
    """
    try:
        move = _opening(leased)
        while leased.execution.leased:
            move = _make(leased, move) if isinstance(move, Attempt) else _go_on(leased, Step(leased.history, move))
    except LeaseLost:
        raise
    except Exception:
        _let_go(leased)
        raise
    finally:
        leased.end()
    return move


def _let_go(leased: LeasedExecution) -> None:
    """Something of ours failed: whoever comes next takes the row over as from a dead owner, and at once."""
    try:
        if leased.execution.leased:
            storage.expire(*leased.fence)
    except DatabaseError as error:
        log(logging.ERROR, "lease.not_given_back", **_saga_names(leased), error_type=type(error).__name__)


def abandon(leased: LeasedExecution, attempt: Attempt, started_at: dt.datetime, deadline: Deadline) -> None:
    """Put a stuck attempt down in its thread's name and give the row back; the version fences the thread off."""
    own = copy.copy(leased)
    own.execution = copy.copy(leased.execution)
    if not deadline.is_running():
        return  # It is back, and what we have copied may be what it has written since.
    log(logging.WARNING, "attempt.stuck", **_names(own, attempt))
    try:
        _file(own, attempt, timed_out(own, attempt, started_at), leave=True)
    except LeaseLost:
        # It came back in the same moment, and goes on with its lease; or another has the row, and it is still stuck.
        log(logging.INFO, "attempt.recorded_already", **_names(own, attempt))
        if deadline.is_running():
            leased.give_up_thread()
    except Exception:
        leased.give_up_thread()
        raise
    else:
        leased.give_up_thread()


def _opening(leased: LeasedExecution) -> Move:
    """What to do first with an execution that has just been claimed."""
    execution = leased.execution
    if execution.lost:
        move = _take_over(leased)
        if move is not None:
            return move
    return _obey(leased) if execution.pending_request else leased.next_move()


def _take_over(leased: LeasedExecution) -> Move | None:
    """The owner before us died: its attempt may have happened (promise 2); too many deaths are one too many."""
    execution = leased.execution
    log(logging.WARNING, "lease.lost", **_saga_names(leased), recoveries=execution.recoveries)
    poisoned = execution.recoveries >= get_settings().MAX_RECOVERIES
    lost = _event(leased, SagaEvent.Kind.LOST_LEASE, recoveries=execution.recoveries)
    attempt = None if execution.pending_request == VERIFY else planner.in_flight(leased.saga, leased.history)
    if attempt is not None and not _never_called(execution, attempt):
        return _file_lost_attempt(leased, attempt, lost, poisoned=poisoned)
    if not poisoned:
        lost.version = execution.version
        database.persist(partial(_put_down, lost))
        return None
    if execution.pending_request == VERIFY:
        return _go_on(leased, Step(leased.history, leased.next_move(), events=(lost,), obeyed=VERIFY))
    reason = f"Its worker died {execution.recoveries} times outside any step. Mend the cause and release."
    return _go_on(leased, Step(leased.history, Hold(reason), events=(lost,)))


def _put_down(lost: SagaEvent) -> None:
    """Save it, once for this version: the answer to the first time may have got lost. LeaseLost as for any write."""
    rows = SagaEvent.objects.using(database.alias()).filter(execution_id=lost.execution_id, version=lost.version)
    ours = SagaExecution.objects.using(database.alias()).filter(pk=lost.execution_id, version=lost.version)
    with database.one_commit():
        if ours.select_for_update().first() is None:
            raise LeaseLost(f"execution {lost.execution_id} is not ours any more")
        if not rows.filter(kind=lost.kind).exists():
            lost.save(using=database.alias(), force_insert=True)


def _file_lost_attempt(leased: LeasedExecution, attempt: Attempt, lost: SagaEvent, *, poisoned: bool) -> Move:
    now = leased.now()
    outcome = Outcome.FAILED if attempt.step.transactional else Outcome.UNCERTAIN
    decision = RetryDecision(outcome, Ending.POISON if poisoned else Ending.NONE)
    run = checkpoint.step_run(leased, attempt, now, now, decision, Classification(outcome))
    run.error_type, run.error_message = LOST_LEASE, "the worker died, or was cut off, during this attempt"
    history = checkpoint.history_with(leased, run)
    move = planner.next_move(leased.saga, history, now)
    return _go_on(leased, Step(history, move, run=run, events=(lost,), keep_recoveries=not poisoned))


def _never_called(execution: SagaExecution, attempt: Attempt) -> bool:
    """The owner was to mark the beginning of this action (see storage.mark), and has not."""
    return attempt.direction is Direction.ACTION and execution.action_started is False


def _make(leased: LeasedExecution, attempt: Attempt) -> Move:
    """One attempt and its checkpoint; what comes next."""
    if not _marked(leased, attempt):
        return _obey_request(leased)
    leased.ensure_lease()
    log(logging.DEBUG, "attempt.started", **_names(leased, attempt))
    if attempt.step.transactional and attempt.direction is not Direction.VERIFY:
        return _make_in_transaction(leased, attempt)
    return _file_and_pass_on(leased, attempt, make_attempt(leased, attempt, abandon))


def _file_and_pass_on(leased: LeasedExecution, attempt: Attempt, result: AttemptResult, *, stay: bool = False) -> Move:
    """File the attempt; an interruption (Ctrl-C) goes on to the caller, with the row given back."""
    interrupted = result.passed_on is not None
    move = _file(leased, attempt, result, leave=interrupted or leased.over, stay=stay and not interrupted)
    if result.passed_on is not None:
        raise result.passed_on
    return move


def _make_in_transaction(leased: LeasedExecution, attempt: Attempt) -> Move:
    """The step's own writes and its checkpoint in one transaction: both or neither (promise 12)."""
    before = copy.copy(leased.execution), leased.history, leased.context
    run_id, started_at = time_ordered_uuid(), leased.now()
    try:
        with database.one_commit():
            result = make_attempt(leased, attempt, abandon)
            if result.ended.outcome is Outcome.SUCCEEDED:
                return _file(leased, attempt, result, leave=leased.over, run_id=run_id)
            transaction.set_rollback(True, using=database.alias())
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001  (of the commit, or of what users do once it is made)
        leased.execution, leased.history, leased.context = before
        if database.persist(lambda: storage.filed(leased.execution.pk, run_id)):
            log(logging.WARNING, "commit.answer_lost", **_names(leased, attempt), error_type=type(error).__name__)
            leased.reload()
            return leased.next_move()
        result = AttemptResult(Classification(Outcome.FAILED, error), started_at, leased.context, {})
    return _file_and_pass_on(leased, attempt, result)


def _marked(leased: LeasedExecution, attempt: Attempt) -> bool:
    """Put down that the attempt begins, where that must be known; False = a request came first."""
    execution, step = leased.execution, attempt.step
    if attempt.direction is not Direction.ACTION:
        return True
    action_started = True if planner.needs_start_mark(step) else None
    pivot_reached = execution.pivot_reached or step.pivot
    if action_started is None and pivot_reached == execution.pivot_reached:
        return True
    if not storage.mark(execution.pk, execution.version, action_started=action_started, pivot_reached=pivot_reached):
        return False
    execution.action_started, execution.pivot_reached = action_started, pivot_reached
    return True


def _obey_request(leased: LeasedExecution, *, leave: bool = False) -> Move:
    """A write found no row: a request came first, and is obeyed, or the lease is lost."""
    pending_request = database.persist(lambda: storage.pending_request_of(leased.execution))
    if not pending_request:
        raise LeaseLost(f"{leased.execution.saga_id!r} is not ours any more")
    leased.execution.pending_request = pending_request
    return _obey(leased, leave=leave)


def _obey(leased: LeasedExecution, *, leave: bool = False) -> Move:
    """Do what an operator asked for while the row was leased; `leave` gives the row back as soon as that is done."""
    pending_request, history = leased.execution.pending_request or "", leased.history
    log(logging.INFO, "request.obeyed", saga_id=history.saga_id, request=pending_request)
    if pending_request == HOLD:
        return _go_on(leased, Step(history, Hold(_reason_to_hold(leased)), obeyed=HOLD, cause="operator"))
    if pending_request == CANCEL and history.state is SagaState.IN_PROGRESS:
        return _cancel(leased, leave=leave)
    if pending_request == VERIFY:
        _ask_providers(leased)
    return _go_on(leased, Step(leased.history, leased.next_move(), obeyed=pending_request, leave=leave))


def _cancel(leased: LeasedExecution, *, leave: bool) -> Move:
    """From where it stands, back; nothing has failed, so no step is named."""
    rolling = roll_back(leased.history, "")
    undo = planner.remaining(leased.saga, rolling)
    move: Move = RollBack("") if undo else Settle(StateEvent.FAIL, "")
    cancelled = _event(leased, SagaEvent.Kind.CANCELLED)
    return _go_on(leased, Step(leased.history, move, obeyed=CANCEL, events=(cancelled,), leave=leave))


def _reason_to_hold(leased: LeasedExecution) -> str:
    events = leased.execution.events.using(database.alias())
    asked = database.persist(lambda: events.filter(kind=SagaEvent.Kind.HOLD).latest("id"))
    return f"Held by {asked.actor_name or 'an operator'}: {asked.reason}"


def _ask_providers(leased: LeasedExecution) -> None:
    """Ask, once, about every step in doubt that can be asked about."""
    for name in in_doubt(leased.history):
        step = leased.saga.step(name)
        if step and step.verify:
            leased.ensure_lease()
            attempt = planner.verify_attempt(leased.history, step)
            _file_and_pass_on(leased, attempt, make_attempt(leased, attempt, abandon), stay=True)


def _file(
    leased: LeasedExecution,
    attempt: Attempt,
    result: AttemptResult,
    *,
    leave: bool = False,
    stay: bool = False,
    run_id: Any = None,
) -> Move:
    """Write the checkpoint of an attempt that has ended; what comes next.

    `leave` gives the row back whatever comes next, `stay` keeps it.
    """
    now, patience = leased.now(), get_settings().COMPENSATION_PATIENCE
    luck = random.random()  # noqa: S311  (it spreads retries and keeps no secret)
    decision = retry_policy.decide(leased.history, attempt, result.ended, result.started_at, now, luck, patience)
    run = checkpoint.step_run(leased, attempt, result.started_at, now, decision, result.ended, result.written)
    run.id, run.changes = run_id or run.id, result.changes
    _tell(leased, attempt, run)
    if decision.retry_at and _says_nothing_new(leased, run):
        return _go_on(leased, Step(leased.history, Wait(decision.retry_at)))
    history = checkpoint.history_with(leased, run)
    move = planner.next_move(leased.saga, history, now)
    return _go_on(leased, Step(history, move, run=run, result=result, leave=leave, stay=stay))


def _says_nothing_new(leased: LeasedExecution, run: StepRun) -> bool:
    """A provider that has still not finished, and says so in the same words (promise 4).

    An undo that was set aside takes turns with others, by their step runs: there each asking is one.
    """
    step = leased.saga.step(run.step)
    deferred = run.direction == Direction.COMPENSATION and step and planner.is_deferred(leased.history, step)
    if run.outcome != Outcome.PENDING or deferred:
        return False
    same = [r for r in leased.history.attempts if r.step == run.step and r.direction == run.direction]
    return bool(same) and same[-1].outcome is Outcome.PENDING and same[-1].output == run.output


def _go_on(leased: LeasedExecution, step: Step) -> Move:
    """Write a checkpoint; what comes next, or what a request makes of it."""
    step = checkpoint.with_rollback_begun(leased, step)
    move = checkpoint.write(leased, step)
    if move is None and step.run is None:
        return _obey_request(leased, leave=step.leave)
    if move is None:
        move = checkpoint.write(leased, replace(step, stay=True, leave=False))
        if move is None:
            raise LeaseLost(f"{leased.execution.saga_id!r} is not ours any more")
    if leased.execution.leased and leased.execution.pending_request and not step.stay:
        return _obey(leased, leave=step.leave)
    return move


def _event(leased: LeasedExecution, kind: SagaEvent.Kind, **data: Any) -> SagaEvent:
    return SagaEvent(execution_id=leased.execution.pk, kind=kind, run=leased.history.run, data=data)


def _tell(leased: LeasedExecution, attempt: Attempt, run: StepRun) -> None:
    """DEBUG for a step, INFO for an undo, WARNING for what went wrong, ERROR when nothing more will be tried."""
    if run.outcome in (Outcome.SUCCEEDED, Outcome.PENDING):
        level = logging.INFO if attempt.direction is Direction.COMPENSATION else logging.DEBUG
    else:
        level = logging.ERROR if run.ending else logging.WARNING
    details = {"outcome": run.outcome, "error_type": run.error_type, "ending": run.ending}
    log(level, "attempt.ended", **_names(leased, attempt), **details)


def _saga_names(leased: LeasedExecution) -> dict[str, Any]:
    return {"saga_id": leased.execution.saga_id, "saga": leased.execution.saga_name}


def _names(leased: LeasedExecution, attempt: Attempt) -> dict[str, Any]:
    return {
        **_saga_names(leased),
        "step": attempt.step.name,
        "direction": attempt.direction,
        "attempt": attempt.number,
    }
