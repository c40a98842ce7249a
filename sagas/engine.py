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

from . import attempts, checkpoints, database, histories, journal, judging, planner
from .attempts import Result
from .checkpoints import Step
from .conf import get_settings
from .judging import Verdict
from .logs import log
from .models import LOST_LEASE, SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from .outcomes import Ended
from .planner import Attempt, Hold, Move, RollBack, Settle, Wait
from .states import Direction, Ending, Outcome, SagaEventKind, SagaState
from .tenure import LeaseLost, Tenure
from .timeouts import Deadline

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
    except LeaseLost:
        raise
    except Exception:
        _let_go(tenure)
        raise
    finally:
        tenure.end()
    return move


def _let_go(tenure: Tenure) -> None:
    """Something of ours failed: whoever comes next takes the row over as from a dead owner, and at once."""
    try:
        if tenure.execution.leased:
            journal.expire(*tenure.fence)
    except DatabaseError as error:
        log(logging.ERROR, "lease.not_given_back", **_saga_names(tenure), error_type=type(error).__name__)


def abandon(tenure: Tenure, attempt: Attempt, started_at: dt.datetime, deadline: Deadline) -> None:
    """Put a stuck attempt down in its thread's name and give the row back; the version fences the thread off."""
    own = copy.copy(tenure)
    own.execution = copy.copy(tenure.execution)
    if not deadline.is_running():
        return  # It is back, and what we have copied may be what it has written since.
    log(logging.WARNING, "attempt.stuck", **_names(own, attempt))
    try:
        _file(own, attempt, attempts.timed_out(own, attempt, started_at), leave=True)
    except LeaseLost:
        # It came back in the same moment, and goes on with its lease; or another has the row, and it is still stuck.
        log(logging.INFO, "attempt.recorded_already", **_names(own, attempt))
        if deadline.is_running():
            tenure.leave_behind()
    except Exception:
        tenure.leave_behind()
        raise
    else:
        tenure.leave_behind()


def _opening(tenure: Tenure) -> Move:
    """What to do first with an execution that has just been claimed."""
    execution = tenure.execution
    if execution.lost:
        move = _take_over(tenure)
        if move is not None:
            return move
    return _obey(tenure) if execution.wants else tenure.next_move()


def _take_over(tenure: Tenure) -> Move | None:
    """The owner before us died: its attempt may have happened (promise 2); too many deaths are one too many."""
    execution = tenure.execution
    log(logging.WARNING, "lease.lost", **_saga_names(tenure), recoveries=execution.recoveries)
    poisoned = execution.recoveries >= get_settings().MAX_RECOVERIES
    lost = _event(tenure, SagaEvent.Kind.LOST_LEASE, recoveries=execution.recoveries)
    attempt = None if execution.wants == VERIFY else planner.in_flight(tenure.saga, tenure.history)
    if attempt is not None and not _never_called(execution, attempt):
        return _file_lost_attempt(tenure, attempt, lost, poisoned=poisoned)
    if not poisoned:
        lost.version = execution.version
        database.persist(partial(_put_down, lost))
        return None
    if execution.wants == VERIFY:
        return _go_on(tenure, Step(tenure.history, tenure.next_move(), events=(lost,), obeyed=VERIFY))
    reason = f"Its worker died {execution.recoveries} times outside any step. Mend the cause and release."
    return _go_on(tenure, Step(tenure.history, Hold(reason), events=(lost,)))


def _put_down(lost: SagaEvent) -> None:
    """Save it, once for this version: the answer to the first time may have got lost. LeaseLost as for any write."""
    rows = SagaEvent.objects.using(database.alias()).filter(execution_id=lost.execution_id, version=lost.version)
    ours = SagaExecution.objects.using(database.alias()).filter(pk=lost.execution_id, version=lost.version)
    with database.one_commit():
        if ours.select_for_update().first() is None:
            raise LeaseLost(f"execution {lost.execution_id} is not ours any more")
        if not rows.filter(kind=lost.kind).exists():
            lost.save(using=database.alias(), force_insert=True)


def _file_lost_attempt(tenure: Tenure, attempt: Attempt, lost: SagaEvent, *, poisoned: bool) -> Move:
    now = tenure.now()
    outcome = Outcome.FAILED if attempt.step.transactional else Outcome.UNCERTAIN
    verdict = Verdict(outcome, Ending.POISON if poisoned else Ending.NONE)
    run = checkpoints.step_run(tenure, attempt, now, now, verdict, Ended(outcome))
    run.error_type, run.error_message = LOST_LEASE, "the worker died, or was cut off, during this attempt"
    history = checkpoints.history_with(tenure, run)
    move = planner.next_move(tenure.saga, history, now)
    return _go_on(tenure, Step(history, move, run=run, events=(lost,), keep_recoveries=not poisoned))


def _never_called(execution: SagaExecution, attempt: Attempt) -> bool:
    """The owner was to mark the beginning of this action (see journal.mark), and has not."""
    return attempt.direction is Direction.ACTION and execution.begun is False


def _make(tenure: Tenure, attempt: Attempt) -> Move:
    """One attempt and its checkpoint; what comes next."""
    if not _marked(tenure, attempt):
        return _obey_request(tenure)
    tenure.make_sure()
    log(logging.DEBUG, "attempt.started", **_names(tenure, attempt))
    if attempt.step.transactional and attempt.direction is not Direction.VERIFY:
        return _make_in_transaction(tenure, attempt)
    return _file_and_pass_on(tenure, attempt, attempts.make(tenure, attempt, abandon))


def _file_and_pass_on(tenure: Tenure, attempt: Attempt, result: Result, *, stay: bool = False) -> Move:
    """File the attempt; an interruption (Ctrl-C) goes on to the caller, with the row given back."""
    interrupted = result.passed_on is not None
    move = _file(tenure, attempt, result, leave=interrupted or tenure.over, stay=stay and not interrupted)
    if result.passed_on is not None:
        raise result.passed_on
    return move


def _make_in_transaction(tenure: Tenure, attempt: Attempt) -> Move:
    """The step's own writes and its checkpoint in one transaction: both or neither (promise 12)."""
    before = copy.copy(tenure.execution), tenure.history, tenure.context
    run_id, started_at = time_ordered_uuid(), tenure.now()
    try:
        with database.one_commit():
            result = attempts.make(tenure, attempt, abandon)
            if result.ended.outcome is Outcome.SUCCEEDED:
                return _file(tenure, attempt, result, leave=tenure.over, run_id=run_id)
            transaction.set_rollback(True, using=database.alias())
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001  (of the commit, or of what users do once it is made)
        tenure.execution, tenure.history, tenure.context = before
        if database.persist(lambda: journal.filed(tenure.execution.pk, run_id)):
            log(logging.WARNING, "commit.answer_lost", **_names(tenure, attempt), error_type=type(error).__name__)
            tenure.read_again()
            return tenure.next_move()
        result = Result(Ended(Outcome.FAILED, error), started_at, tenure.context, {})
    return _file_and_pass_on(tenure, attempt, result)


def _marked(tenure: Tenure, attempt: Attempt) -> bool:
    """Put down that the attempt begins, where that must be known; False = a request came first."""
    execution, step = tenure.execution, attempt.step
    if attempt.direction is not Direction.ACTION:
        return True
    begun = True if planner.needs_mark(step) else None
    pivoting = execution.pivoting or step.pivot
    if begun is None and pivoting == execution.pivoting:
        return True
    if not journal.mark(execution.pk, execution.version, begun=begun, pivoting=pivoting):
        return False
    execution.begun, execution.pivoting = begun, pivoting
    return True


def _obey_request(tenure: Tenure, *, leave: bool = False) -> Move:
    """A write found no row: a request came first, and is obeyed, or the lease is lost."""
    wants = database.persist(lambda: journal.wants_of(tenure.execution))
    if not wants:
        raise LeaseLost(f"{tenure.execution.saga_id!r} is not ours any more")
    tenure.execution.wants = wants
    return _obey(tenure, leave=leave)


def _obey(tenure: Tenure, *, leave: bool = False) -> Move:
    """Do what an operator asked for while the row was leased; `leave` gives the row back as soon as that is done."""
    wants, history = tenure.execution.wants or "", tenure.history
    log(logging.INFO, "request.obeyed", saga_id=history.saga_id, request=wants)
    if wants == HOLD:
        return _go_on(tenure, Step(history, Hold(_reason_to_hold(tenure)), obeyed=HOLD, cause="operator"))
    if wants == CANCEL and history.state is SagaState.IN_PROGRESS:
        return _cancel(tenure, leave=leave)
    if wants == VERIFY:
        _ask_providers(tenure)
    return _go_on(tenure, Step(tenure.history, tenure.next_move(), obeyed=wants, leave=leave))


def _cancel(tenure: Tenure, *, leave: bool) -> Move:
    """From where it stands, back; nothing has failed, so no step is named."""
    rolling = histories.roll_back(tenure.history, "")
    undo = planner.remaining(tenure.saga, rolling)
    move: Move = RollBack("") if undo else Settle(SagaEventKind.FAIL, "")
    cancelled = _event(tenure, SagaEvent.Kind.CANCELLED)
    return _go_on(tenure, Step(tenure.history, move, obeyed=CANCEL, events=(cancelled,), leave=leave))


def _reason_to_hold(tenure: Tenure) -> str:
    events = tenure.execution.events.using(database.alias())
    asked = database.persist(lambda: events.filter(kind=SagaEvent.Kind.HOLD).latest("id"))
    return f"Held by {asked.actor_name or 'an operator'}: {asked.reason}"


def _ask_providers(tenure: Tenure) -> None:
    """Ask, once, about every step in doubt that can be asked about."""
    for name in histories.in_doubt(tenure.history):
        step = tenure.saga.step(name)
        if step and step.verify:
            tenure.make_sure()
            attempt = planner.asking(tenure.history, step)
            _file_and_pass_on(tenure, attempt, attempts.make(tenure, attempt, abandon), stay=True)


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
    verdict = judging.judge(tenure.history, attempt, result.ended, result.started_at, now, luck, patience)
    run = checkpoints.step_run(tenure, attempt, result.started_at, now, verdict, result.ended, result.written)
    run.id, run.changes = run_id or run.id, result.changes
    _tell(tenure, attempt, run)
    if verdict.retry_at and _says_nothing_new(tenure, run):
        return _go_on(tenure, Step(tenure.history, Wait(verdict.retry_at)))
    history = checkpoints.history_with(tenure, run)
    move = planner.next_move(tenure.saga, history, now)
    return _go_on(tenure, Step(history, move, run=run, result=result, leave=leave, stay=stay))


def _says_nothing_new(tenure: Tenure, run: StepRun) -> bool:
    """A provider that has still not finished, and says so in the same words (promise 4).

    An undo that was set aside takes turns with others, by their step runs: there each asking is one.
    """
    step = tenure.saga.step(run.step)
    aside = run.direction == Direction.COMPENSATION and step and planner.is_aside(tenure.history, step)
    if run.outcome != Outcome.PENDING or aside:
        return False
    same = [r for r in tenure.history.records if r.step == run.step and r.direction == run.direction]
    return bool(same) and same[-1].outcome is Outcome.PENDING and same[-1].output == run.output


def _go_on(tenure: Tenure, step: Step) -> Move:
    """Write a checkpoint; what comes next, or what a request makes of it."""
    step = checkpoints.with_rollback_begun(tenure, step)
    move = checkpoints.write(tenure, step)
    if move is None and step.run is None:
        return _obey_request(tenure, leave=step.leave)
    if move is None:
        move = checkpoints.write(tenure, replace(step, stay=True, leave=False))
        if move is None:
            raise LeaseLost(f"{tenure.execution.saga_id!r} is not ours any more")
    if tenure.execution.leased and tenure.execution.wants and not step.stay:
        return _obey(tenure, leave=step.leave)
    return move


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


def _saga_names(tenure: Tenure) -> dict[str, Any]:
    return {"saga_id": tenure.execution.saga_id, "saga": tenure.execution.saga_name}


def _names(tenure: Tenure, attempt: Attempt) -> dict[str, Any]:
    return {
        **_saga_names(tenure),
        "step": attempt.step.name,
        "direction": attempt.direction,
        "attempt": attempt.number,
    }
