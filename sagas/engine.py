"""Carries the planner's moves out: makes the attempt, writes the checkpoint, asks again."""

from __future__ import annotations

import copy
import datetime as dt
import logging
import random
from dataclasses import replace
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction

from . import attempts, checkpoints, journal, planner
from .attempts import Result
from .checkpoints import Step
from .conf import get_settings
from .logs import log
from .models import LOST_LEASE, SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from .outcomes import INTERRUPTIONS, Ended
from .planner import Attempt, Hold, Move, Rest, RollBack, Settle, Verdict, Wait
from .states import UNFINISHED, Direction, Ending, Outcome, SagaEventKind, SagaState
from .tenure import LeaseLost, Tenure

CANCEL, HOLD, VERIFY = "cancel", "hold", "verify"


def advance(tenure: Tenure) -> Move:
    """Go on with the execution until it has to wait, has ended or is held; returns which.

    LeaseLost: somebody else has it. KeyboardInterrupt and SystemExit out of a step are raised again, after the
    attempt was put down as UNCERTAIN and the row given back.
    """
    try:
        move = _opening(tenure)
        while tenure.execution.leased:
            move = _make(tenure, move) if isinstance(move, Attempt) else _go_on(tenure, Step(tenure.history, move))
        return move
    finally:
        tenure.end()


def abandon(tenure: Tenure, attempt: Attempt, started_at: dt.datetime) -> None:
    """Put a stuck attempt down in its thread's name and give the row back; the version fences the thread off."""
    tenure.end()
    own = copy.copy(tenure)
    own.execution = copy.copy(tenure.execution)
    log(logging.WARNING, "attempt.stuck", **_names(own, attempt))
    _file(own, attempt, attempts.timed_out(own, attempt, started_at), leave=True)


def _opening(tenure: Tenure) -> Move:
    """What to do first with an execution that has just been claimed."""
    execution = tenure.execution
    if execution.lost and execution.state in UNFINISHED:
        move = _file_lost_attempt(tenure)
        if move is not None:
            return move
    return _obey(tenure) if execution.wants else tenure.next_move()


def _file_lost_attempt(tenure: Tenure) -> Move | None:
    """The owner before us died: its attempt may have happened (promise 2); too many deaths are one too many."""
    execution, attempt = tenure.execution, planner.in_flight(tenure.saga, tenure.history)
    log(logging.WARNING, "lease.lost", saga_id=execution.saga_id, recoveries=execution.recoveries)
    poisoned = execution.recoveries >= get_settings().MAX_RECOVERIES
    lost = _event(tenure, SagaEvent.Kind.LOST_LEASE, recoveries=execution.recoveries)
    if attempt is None or _never_called(execution, attempt):
        reason = f"Its worker died {execution.recoveries} times outside any step. Mend the cause and release."
        return _go_on(tenure, Step(tenure.history, Hold(reason), events=(lost,))) if poisoned else None
    now = tenure.now()
    outcome = Outcome.FAILED if attempt.step.transactional else Outcome.UNCERTAIN
    verdict = Verdict(outcome, Ending.POISON if poisoned else Ending.NONE)
    run = checkpoints.step_run(tenure, attempt, now, now, verdict, Ended(outcome))
    run.error_type, run.error_message = LOST_LEASE, "the worker died, or was cut off, during this attempt"
    history = checkpoints.history_with(tenure, run)
    move = planner.next_move(tenure.saga, history, now)
    return _go_on(tenure, Step(history, move, run=run, events=(lost,), keep_recoveries=not poisoned))


def _never_called(execution: SagaExecution, attempt: Attempt) -> bool:
    """The mark that goes before each such action is missing."""
    step = attempt.step
    marked = not step.idempotent and not step.transactional and attempt.direction is Direction.ACTION
    return marked and not execution.begun


def _make(tenure: Tenure, attempt: Attempt) -> Move:
    """One attempt and its checkpoint; what comes next."""
    tenure.make_sure()
    if not _marked(tenure, attempt):
        return _obey_request(tenure)
    log(logging.DEBUG, "attempt.started", **_names(tenure, attempt))
    if attempt.step.transactional and attempt.direction is not Direction.VERIFY:
        return _make_in_transaction(tenure, attempt)
    return _file_and_pass_on(tenure, attempt, attempts.make(tenure, attempt, abandon))


def _file_and_pass_on(tenure: Tenure, attempt: Attempt, result: Result) -> Move:
    """File the attempt; an interruption (Ctrl-C) goes on to the caller, with the row given back."""
    interruption = result.ended.error if isinstance(result.ended.error, INTERRUPTIONS) else None
    move = _file(tenure, attempt, result, leave=interruption is not None or tenure.over)
    if interruption is not None:
        raise interruption
    return move


def _make_in_transaction(tenure: Tenure, attempt: Attempt) -> Move:
    """The step's own writes and its checkpoint in one transaction: both or neither (promise 12)."""
    before = copy.copy(tenure.execution), tenure.history, tenure.context
    run_id, started_at = time_ordered_uuid(), tenure.now()
    try:
        with journal.one_commit():
            result = attempts.make(tenure, attempt, abandon)
            if result.ended.outcome is Outcome.SUCCEEDED:
                return _file(tenure, attempt, result, run_id=run_id)
            transaction.set_rollback(True, using=journal.alias())
    except DatabaseError as error:
        tenure.execution, tenure.history, tenure.context = before
        if journal.persist(lambda: journal.filed_sequence(run_id)):
            raise LeaseLost("the commit went through, although its answer got lost") from error
        result = Result(Ended(Outcome.FAILED, error), started_at, tenure.context, {})
    return _file_and_pass_on(tenure, attempt, result)


def _marked(tenure: Tenure, attempt: Attempt) -> bool:
    """Put down that the attempt begins, where that must be known; False = a request came first."""
    execution, step = tenure.execution, attempt.step
    if attempt.direction is not Direction.ACTION:
        return True
    begun = not step.idempotent and not step.transactional
    pivoting = execution.pivoting or step.pivot
    if not begun and pivoting == execution.pivoting:
        return True
    if not journal.mark(execution.pk, execution.version, begun=begun, pivoting=pivoting):
        return False
    execution.begun, execution.pivoting = begun, pivoting
    return True


def _obey_request(tenure: Tenure) -> Move:
    """A write found no row: a request came first, and is obeyed, or the lease is lost."""
    wants = journal.persist(lambda: journal.wants_of(tenure.execution))
    if not wants:
        raise LeaseLost(f"{tenure.execution.saga_id!r} is not ours any more")
    tenure.execution.wants = wants
    return _obey(tenure)


def _obey(tenure: Tenure) -> Move:
    """Do what an operator asked for while the row was leased."""
    wants, history = tenure.execution.wants or "", tenure.history
    log(logging.INFO, "request.obeyed", saga_id=history.saga_id, request=wants)
    if wants == HOLD:
        return _go_on(tenure, Step(history, Hold(_reason_to_hold(tenure)), obeyed=HOLD, cause="operator"))
    if wants == CANCEL and history.state is SagaState.IN_PROGRESS:
        return _cancel(tenure)
    if wants == VERIFY:
        _ask_providers(tenure)
    return _go_on(tenure, Step(tenure.history, tenure.next_move(), obeyed=wants))


def _cancel(tenure: Tenure) -> Move:
    """From where it stands, back; nothing has failed, so no step is named."""
    rolling = planner.roll_back(tenure.history, "")
    undo = planner.remaining(tenure.saga, rolling)
    move: Move = RollBack("") if undo else Settle(SagaEventKind.FAIL, "")
    cancelled = _event(tenure, SagaEvent.Kind.CANCELLED)
    return _go_on(tenure, Step(tenure.history, move, obeyed=CANCEL, events=(cancelled,)))


def _reason_to_hold(tenure: Tenure) -> str:
    events = tenure.execution.events.using(journal.alias())
    asked = events.filter(kind=SagaEvent.Kind.HOLD).latest("id")
    return f"Held by {asked.actor_name or 'an operator'}: {asked.reason}"


def _ask_providers(tenure: Tenure) -> None:
    """Ask, once, about every step in doubt that can be asked about."""
    for name in planner.in_doubt(tenure.history):
        step = tenure.saga.step(name)
        if step and step.verify:
            tenure.make_sure()
            attempt = planner.asking(tenure.history, step)
            _file(tenure, attempt, attempts.make(tenure, attempt, abandon), stay=True)


def _file(
    tenure: Tenure,
    attempt: Attempt,
    result: Result,
    *,
    leave: bool = False,
    stay: bool = False,
    run_id: Any = None,
) -> Move:
    """Write the checkpoint of an attempt that has ended; what comes next.

    `leave` gives the row back whatever comes next, `stay` keeps it.
    """
    now, patience = tenure.now(), get_settings().COMPENSATION_PATIENCE
    luck = random.random()  # noqa: S311  (it spreads retries and keeps no secret)
    verdict = planner.judge(tenure.history, attempt, result.ended, result.started_at, now, luck, patience)
    run = checkpoints.step_run(tenure, attempt, result.started_at, now, verdict, result.ended)
    run.id, run.changes = run_id or run.id, result.changes
    _tell(tenure, attempt, run)
    if verdict.retry_at and _says_nothing_new(tenure, run):
        return _go_on(tenure, Step(tenure.history, Wait(verdict.retry_at)))
    history = checkpoints.history_with(tenure, run)
    move = planner.next_move(tenure.saga, history, now)
    return _go_on(tenure, Step(history, move, run=run, result=result, leave=leave, stay=stay))


def _says_nothing_new(tenure: Tenure, run: StepRun) -> bool:
    """A provider that has still not finished, and says so in the same words (promise 4)."""
    if run.outcome != Outcome.PENDING:
        return False
    same = [r for r in tenure.history.records if r.step == run.step and r.direction == run.direction]
    return bool(same) and same[-1].outcome is Outcome.PENDING and same[-1].output == run.output


def _go_on(tenure: Tenure, step: Step) -> Move:
    """Write a checkpoint; what comes next, or what a request makes of it."""
    step = checkpoints.with_rollback_begun(tenure, step)
    if not checkpoints.write(tenure, step):
        if step.run is None:
            return _obey_request(tenure)
        if not checkpoints.write(tenure, replace(step, stay=True, leave=False)):
            raise LeaseLost(f"{tenure.execution.saga_id!r} is not ours any more")
    if tenure.execution.leased and tenure.execution.wants and not step.obeyed and not step.stay:
        return _obey(tenure)
    return step.move


def _event(tenure: Tenure, kind: SagaEvent.Kind, **data: Any) -> SagaEvent:
    return SagaEvent(execution_id=tenure.execution.pk, kind=kind, run=tenure.history.run, data=data)


def _tell(tenure: Tenure, attempt: Attempt, run: StepRun) -> None:
    """DEBUG for a step, INFO for an undo, WARNING for what went wrong, ERROR when nothing more will be tried."""
    if run.outcome in (Outcome.SUCCEEDED, Outcome.PENDING):
        level = logging.INFO if attempt.direction is Direction.COMPENSATION else logging.DEBUG
    else:
        level = logging.ERROR if run.ending else logging.WARNING
    details = {"outcome": run.outcome, "error_type": run.error_type, "ending": run.ending}
    log(level, "attempt.ended", **_names(tenure, attempt), **details)


def _names(tenure: Tenure, attempt: Attempt) -> dict[str, Any]:
    execution = tenure.execution
    return {
        "saga_id": execution.saga_id,
        "saga": execution.saga_name,
        "step": attempt.step.name,
        "direction": attempt.direction,
        "attempt": attempt.number,
    }


__all__ = ["CANCEL", "HOLD", "VERIFY", "LeaseLost", "Rest", "abandon", "advance"]
