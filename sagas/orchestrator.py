"""The façade for code: start, run, follow and mend sagas."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sagas import operations, storage
from sagas.conf import get_settings
from sagas.definition import json_values
from sagas.definition.exceptions import InsideTransaction, InvalidInput, SagaConflict, UnknownExecution
from sagas.definition.registry import get_saga
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import TERMINAL, Priority, Resolution, SagaState
from sagas.engine import new_execution, planner, runner
from sagas.engine.leased_execution import LeasedExecution, LeaseLost, load_history, worker_name
from sagas.engine.planner import Wait
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.models.querysets import ExecutionQuerySet
from sagas.monitoring import stats
from sagas.operations import Actor, Operation
from sagas.storage import database

SHORTEST_POLL = 0.01
LONGEST_POLL = 0.05


class SagaOrchestrator:
    """Runs sagas inline or queues them for the workers, tells how they stand, and carries out operators' acts."""

    def execute(
        self,
        saga_id: str | None,
        saga_name: str,
        steps: Sequence[SagaStep] | None = None,
        context: Mapping[str, Any] | None = None,
        *,
        priority: Priority | int | None = None,
        max_seconds: float | None = None,
    ) -> SagaExecution:
        """Run the saga here, or go on with the one that has this id, and return it.

        It returns when the execution has ended, is held or waits for set-aside undos only, or after `max_seconds`.
        Raises InvalidInput, UnknownSaga, DefinitionError, SagaConflict, InsideTransaction; then nothing is started.
        """
        saga = new_execution.saga_for(saga_name, steps)
        _refuse_inside_transaction("execute()")
        sent, stop_at = time.monotonic(), _stop_at(max_seconds)
        try:
            execution = new_execution.new_execution(saga, saga_id, context, priority)
        except InvalidInput as refusal:
            return self._follow(_started_before(saga, saga_id, context, refusal).saga_id, saga, stop_at)
        if not new_execution.insert(saga, execution, lease=get_settings().LEASE):
            return self._follow(_same(execution).saga_id, saga, stop_at)
        leased = LeasedExecution(execution, saga, sent=sent, moment=execution.created_at)
        return self._drive(leased, stop_at) or self._follow(execution.saga_id, saga, stop_at)

    def start(
        self,
        saga_id: str | None,
        saga_name: str,
        steps: Sequence[SagaStep] | None = None,
        context: Mapping[str, Any] | None = None,
        *,
        priority: Priority | int | None = None,
        owner: Any = None,
    ) -> SagaExecution:
        """Queue the saga for the workers, in the caller's transaction if there is one, and return it.

        Workers go by the registered definition, so the saga must be registered. The same id with the same input
        returns the execution that exists. Raises as `execute` does.
        """
        saga = new_execution.saga_for(saga_name, steps)
        new_execution.check_workers_know(saga)
        try:
            execution = new_execution.new_execution(saga, saga_id, context, priority, owner)
        except InvalidInput as refusal:
            return _started_before(saga, saga_id, context, refusal)
        if not new_execution.insert(saga, execution, lease=None):
            return _same(execution)
        return execution

    def wait(self, saga_id: str, timeout: float) -> SagaExecution:
        """The execution once it has ended or is held, or as it is after `timeout` seconds."""
        stop_at, pause = CLOCK.elapsed() + timeout, SHORTEST_POLL
        while True:
            execution, _ = _look(saga_id)
            left = stop_at - CLOCK.elapsed()
            if execution.state in TERMINAL or execution.held or left <= 0:
                return execution
            CLOCK.wait(left, look_every=pause)
            pause = min(pause * 1.5, LONGEST_POLL)

    def resume(self, saga_id: str, *, max_seconds: float | None = None) -> SagaExecution:
        """Go on here with an execution that exists, as `execute` does with one whose id is taken."""
        _refuse_inside_transaction("resume()")
        execution, _ = _look(saga_id)
        if execution.state in TERMINAL and not execution.pending_request:
            return execution
        return self._follow(saga_id, get_saga(execution.saga_name), _stop_at(max_seconds))

    def retry_failed(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Retry a FAILED saga as a new run, or what is not undone of a PARTIALLY_COMPENSATED one, inline."""
        return self._inline(Operation.RETRY, saga_id, reason, by)

    def compensate(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Undo a finished saga, inline."""
        return self._inline(Operation.COMPENSATE, saga_id, reason, by)

    def cancel(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Ask for a rollback; the execution as the request leaves it."""
        return operations.perform(Operation.CANCEL, saga_id, reason=reason, by=by)

    def hold(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Park it until it is released."""
        return operations.perform(Operation.HOLD, saga_id, reason=reason, by=by)

    def release(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Let a held execution go on, with a fresh budget and the same keys."""
        return operations.perform(Operation.RELEASE, saga_id, reason=reason, by=by)

    def verify(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Ask the providers, now, about every step in doubt, inline."""
        return self._inline(Operation.VERIFY, saga_id, reason, by)

    def acknowledge(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Take a failed execution off the list of those that need attention."""
        return operations.perform(Operation.ACKNOWLEDGE, saga_id, reason=reason, by=by)

    def resolve_step(
        self,
        saga_id: str,
        step: str,
        outcome: Resolution | str,
        output: Mapping[str, Any] | None = None,
        evidence: str = "",
        reason: str = "",
        *,
        by: Actor = operations.PYTHON,
    ) -> SagaExecution:
        """Put down what a person found out about a step: `done`, `not_done` or `undone`."""
        return operations.perform(
            Operation.RESOLVE,
            saga_id,
            reason=reason,
            by=by,
            step=step,
            outcome=outcome,
            output=output,
            evidence=evidence,
        )

    def correct_input(
        self, saga_id: str, context: Mapping[str, Any], *, reason: str = "", by: Actor = operations.PYTHON
    ) -> SagaExecution:
        """Replace the input of a FAILED saga, or of one held before any attempt of its current step."""
        return operations.perform(Operation.CORRECT, saga_id, reason=reason, by=by, context=context)

    def get_status(self, saga_id: str) -> SagaExecution | None:
        """The execution of that id, or None."""
        return SagaExecution.objects.with_id(saga_id).first()

    def list_executions(self, state: SagaState | str | None = None) -> ExecutionQuerySet:
        """All executions, newest first; those in one state if it is given."""
        executions = SagaExecution.objects.order_by("-created_at", "-id")
        return executions if state is None else executions.in_state(state)

    def get_stats(self) -> dict[str, Any]:
        """Numbers over all executions; see `stats.collect`."""
        return stats.collect()

    def print_stats(self) -> str:
        """The same numbers as a text for people."""
        return stats.as_text(stats.collect())

    def _inline(self, operation: Operation, saga_id: str, reason: str, by: Actor) -> SagaExecution:
        _refuse_inside_transaction("retry_failed()" if operation is Operation.RETRY else f"{operation}()")
        operations.perform(operation, saga_id, reason=reason, by=by)
        return self.resume(saga_id)

    def _drive(self, leased: LeasedExecution, stop_at: float) -> SagaExecution | None:
        """Go on with what we have in hand; the execution if there is nothing to wait for afterwards."""
        leased.stop_at = stop_at
        try:
            move = runner.run(leased)
        except LeaseLost:
            return None
        execution = leased.execution
        if execution.state in TERMINAL or execution.held or (isinstance(move, Wait) and move.deferred):
            return execution
        return None

    def _follow(self, saga_id: str, saga: Saga, stop_at: float) -> SagaExecution:
        """Claim it whenever it is due, wait while somebody else has it."""
        while True:
            execution, now = _look(saga_id)
            left = stop_at - CLOCK.elapsed()
            if execution.due_at is None or left <= 0:
                return execution
            if execution.due_at <= now:
                leased = _claim(execution, saga)
                done = self._drive(leased, stop_at) if leased else None
                if done:
                    return done
                continue
            if _waits_for_deferred_compensations(execution, saga, now):
                return execution
            until_due = (execution.due_at - now).total_seconds()
            CLOCK.wait(max(0.001, min(until_due, left)), look_every=LONGEST_POLL)


def get_saga_orchestrator() -> SagaOrchestrator:
    """The one orchestrator of this process; it keeps no state of its own."""
    return _orchestrator


def _same(execution: SagaExecution) -> SagaExecution:
    """The execution that has the id already, if it was started with the same saga and input (promise 17)."""
    existing, _ = _look(execution.saga_id)
    if (existing.saga_name, existing.input_hash) != (execution.saga_name, execution.input_hash):
        raise SagaConflict(execution.saga_id, existing.saga_name)
    return existing


def _started_before(
    saga: Saga, saga_id: str | None, context: Mapping[str, Any] | None, refusal: InvalidInput
) -> SagaExecution:
    """The execution that this input, while it was still valid, has started; without one, the refusal stands."""
    rows = SagaExecution.objects.using(database.alias()).with_id(saga_id or "")
    existing = rows.filter(saga_name=saga.name).first()
    if existing is None or existing.input_hash != json_values.hash_of(new_execution.given_text(context)):
        raise refusal
    return existing


def _look(saga_id: str) -> tuple[SagaExecution, dt.datetime]:
    """The execution as it is now, and the database's time at the look."""
    rows = SagaExecution.objects.using(database.alias()).with_id(saga_id)
    look = rows.annotate(seen_at=CLOCK.now())
    execution: Any = database.persist(look.first)
    if execution is None:
        raise UnknownExecution(saga_id)
    return execution, execution.seen_at


def _claim(execution: SagaExecution, saga: Saga) -> LeasedExecution | None:
    sent = time.monotonic()
    saga_id, worker, lease = execution.saga_id, worker_name(), get_settings().LEASE
    claimed = database.persist(
        lambda: storage.claim(saga_id, worker=worker, lease=lease, priority=execution.priority),
        lambda: storage.find_claimed(saga_id, worker=worker),
    )
    return LeasedExecution(claimed, saga, sent=sent, moment=claimed.claimed_at) if claimed else None


def _waits_for_deferred_compensations(execution: SagaExecution, saga: Saga, now: dt.datetime) -> bool:
    if execution.leased or execution.state is not SagaState.COMPENSATING or execution.pending_request:
        return False
    move = planner.next_move(saga, load_history(execution), now)
    return isinstance(move, Wait) and move.deferred


def _stop_at(max_seconds: float | None) -> float:
    return math.inf if max_seconds is None else CLOCK.elapsed() + max_seconds


def _refuse_inside_transaction(call: str) -> None:
    if database.in_transaction():
        raise InsideTransaction(call)


_orchestrator = SagaOrchestrator()
