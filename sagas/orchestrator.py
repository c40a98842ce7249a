"""The entry point for Python code: start, run and query sagas, and perform operations on them."""

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
    """Runs sagas inline, or queues them for the workers, and performs operations on executions.

    "Inline" means: in the thread of the caller.
    """

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
        """Run the saga inline, or continue the existing execution with this id, and return the execution.

        Returns when the execution has ended, is held, or only waits for deferred compensations, or after `max_seconds`.
        Raises InvalidInput, UnknownSaga, DefinitionError, SagaConflict or InsideTransaction before the start.
        """
        saga = new_execution.saga_for(saga_name, steps)
        _refuse_inside_transaction("execute()")
        sent, stop_at = time.monotonic(), _stop_at(max_seconds)
        try:
            execution = new_execution.new_execution(saga, saga_id, context, priority)
        except InvalidInput as error:
            return self._follow(_started_earlier(saga, saga_id, context, error).saga_id, saga, stop_at)
        if not new_execution.insert(saga, execution, lease=get_settings().LEASE):
            return self._follow(_existing(execution).saga_id, saga, stop_at)
        leased = LeasedExecution(execution, saga, sent=sent, moment=execution.created_at)
        return self._run(leased, stop_at) or self._follow(execution.saga_id, saga, stop_at)

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
        """Queue the saga for the workers and return the execution. If the caller has an open transaction, use it.

        The saga must be registered, because workers use the registered definition. The same id with the same input
        returns the existing execution. Raises the same exceptions as `execute`, except InsideTransaction.
        """
        saga = new_execution.saga_for(saga_name, steps)
        new_execution.check_workers_know(saga)
        try:
            execution = new_execution.new_execution(saga, saga_id, context, priority, owner)
        except InvalidInput as error:
            return _started_earlier(saga, saga_id, context, error)
        if not new_execution.insert(saga, execution, lease=None):
            return _existing(execution)
        return execution

    def wait(self, saga_id: str, timeout: float) -> SagaExecution:
        """Wait until the execution has ended or is held, and return it.

        After `timeout` seconds, returns the execution in its current state. This method does not run steps, so workers
        must be running. Raises UnknownExecution.
        """
        stop_at, pause = CLOCK.elapsed() + timeout, SHORTEST_POLL
        while True:
            execution, _ = _load(saga_id)
            left = stop_at - CLOCK.elapsed()
            if execution.state in TERMINAL or execution.held or left <= 0:
                return execution
            CLOCK.wait(left, look_every=pause)
            pause = min(pause * 1.5, LONGEST_POLL)

    def resume(self, saga_id: str, *, max_seconds: float | None = None) -> SagaExecution:
        """Continue an existing execution inline. Return it at the same moments as `execute`.

        Stops after `max_seconds`; workers then continue. If the execution has ended, returns it unchanged.
        Raises UnknownExecution, UnknownSaga or InsideTransaction.
        """
        _refuse_inside_transaction("resume()")
        execution, _ = _load(saga_id)
        if execution.state in TERMINAL and not execution.pending_request:
            return execution
        return self._follow(saga_id, get_saga(execution.saga_name), _stop_at(max_seconds))

    def retry_failed(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Retry an execution inline.

        A FAILED execution gets a new run with new idempotency keys. A PARTIALLY_COMPENSATED execution retries
        only its failed compensations.
        The event stores `reason` and `by`. Returns the execution at the same moments as `execute`.
        Raises UnknownExecution, ActRefused or InsideTransaction.
        """
        return self._inline(Operation.RETRY, saga_id, reason, by)

    def compensate(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Compensate all steps of a SUCCEEDED execution inline, the last step first.

        The event stores `reason` and `by`. Returns the execution at the same moments as `execute`.
        Raises UnknownExecution, ActRefused or InsideTransaction.
        """
        return self._inline(Operation.COMPENSATE, saga_id, reason, by)

    def cancel(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Cancel the execution: compensate what was done, and end as FAILED.

        Workers carry out the request. The owner of a leased execution obeys at its next checkpoint.
        The event stores `reason` and `by`. Returns the execution as it is after the request.
        Raises UnknownExecution or ActRefused.
        """
        return operations.perform(Operation.CANCEL, saga_id, reason=reason, by=by)

    def hold(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Hold the execution until it is released. Nothing is compensated.

        A leased execution is held at its next checkpoint.
        The event stores `reason` and `by`. Returns the execution as it is after the request.
        Raises UnknownExecution or ActRefused.
        """
        return operations.perform(Operation.HOLD, saga_id, reason=reason, by=by)

    def release(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Let a held execution continue, with a new retry budget and the same idempotency keys.

        The event stores `reason` and `by`. Returns the execution, which workers continue.
        Raises UnknownExecution or ActRefused.
        """
        return operations.perform(Operation.RELEASE, saga_id, reason=reason, by=by)

    def verify(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Call the `verify` function of every step in doubt, inline, to ask its provider for the outcome.

        The event stores `reason` and `by`. Returns the execution at the same moments as `execute`.
        Raises UnknownExecution, ActRefused or InsideTransaction.
        """
        return self._inline(Operation.VERIFY, saga_id, reason, by)

    def acknowledge(self, saga_id: str, *, reason: str = "", by: Actor = operations.PYTHON) -> SagaExecution:
        """Mark a FAILED execution as needing no attention. Nothing else changes.

        The event stores `reason` and `by`. Returns the execution.
        Raises UnknownExecution or ActRefused.
        """
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
        """Record the outcome of a step as a person found it.

        `outcome` is a Resolution or its value: `done`, `not_done` or `undone`. `output`, for `done` only, is
        the return value that the step would have had. `evidence` is the person's source.
        The event stores `reason` and `by`. Returns the execution, which workers continue.
        Raises UnknownExecution, ActRefused or InvalidInput.
        """
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
        """Replace the input of an execution that is FAILED, or is held before the first attempt of its current step.

        `context` is the complete new input. The saga's schema validates it. Afterwards, retry or release the execution.
        The event stores `reason` and `by`. Returns the execution.
        Raises UnknownExecution, ActRefused or InvalidInput.
        """
        return operations.perform(Operation.CORRECT, saga_id, reason=reason, by=by, context=context)

    def get_status(self, saga_id: str) -> SagaExecution | None:
        """Return the execution of that id, or None.

        Reads one row. `execution.step_executions` and `execution.events` hold its history.
        """
        return SagaExecution.objects.with_id(saga_id).first()

    def list_executions(self, state: SagaState | str | None = None) -> ExecutionQuerySet:
        """Return all executions, or all executions in one state, newest first.

        `state` is a SagaState or its value. Raises ValueError for another value. The queryset can be filtered further.
        """
        executions = SagaExecution.objects.order_by("-created_at", "-id")
        return executions if state is None else executions.in_state(state)

    def get_stats(self) -> dict[str, Any]:
        """Return statistics of all executions.

        The keys are total, by_state, success_rate (0.0 to 1.0), avg_duration_seconds, p50_duration_seconds,
        p95_duration_seconds and sagas (the same for each saga). Rates and durations are 0.0 if no execution has ended.
        """
        return stats.collect()

    def print_stats(self) -> str:
        """Return the statistics as text for a terminal.

        The text has one line for all executions, one for each saga, and one with the number per state.
        This method does not print the text: pass it to print().
        """
        return stats.as_text(stats.collect())

    def _inline(self, operation: Operation, saga_id: str, reason: str, by: Actor) -> SagaExecution:
        _refuse_inside_transaction("retry_failed()" if operation is Operation.RETRY else f"{operation}()")
        operations.perform(operation, saga_id, reason=reason, by=by)
        return self.resume(saga_id)

    def _run(self, leased: LeasedExecution, stop_at: float) -> SagaExecution | None:
        """Run a leased execution. Return None if `_follow` must continue with it, otherwise the execution."""
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
        """Claim and run the execution each time it is due, and wait while another owner has leased it."""
        while True:
            execution, now = _load(saga_id)
            left = stop_at - CLOCK.elapsed()
            if execution.due_at is None or left <= 0:
                return execution
            if execution.due_at <= now:
                leased = _claim(execution, saga)
                done = self._run(leased, stop_at) if leased else None
                if done:
                    return done
                continue
            pending = execution.leased or execution.pending_request
            if execution.state is SagaState.COMPENSATING and not pending:
                move = planner.next_move(saga, load_history(execution), now)
                if isinstance(move, Wait) and move.deferred:
                    return execution
            until_due = (execution.due_at - now).total_seconds()
            CLOCK.wait(max(0.001, min(until_due, left)), look_every=LONGEST_POLL)


def get_saga_orchestrator() -> SagaOrchestrator:
    """Return the orchestrator of this process. It has no state."""
    return _orchestrator


def _existing(execution: SagaExecution) -> SagaExecution:
    """Return the existing execution with the same id. Raise SagaConflict if its saga or input differs."""
    existing, _ = _load(execution.saga_id)
    if (existing.saga_name, existing.input_hash) != (execution.saga_name, execution.input_hash):
        raise SagaConflict(execution.saga_id, existing.saga_name)
    return existing


def _started_earlier(
    saga: Saga, saga_id: str | None, context: Mapping[str, Any] | None, error: InvalidInput
) -> SagaExecution:
    """Return the execution that an earlier call started with this input, which was valid then.

    Raise `error` if there is no such execution.
    """
    rows = SagaExecution.objects.using(database.alias()).with_id(saga_id or "")
    existing = rows.filter(saga_name=saga.name).first()
    if existing is None or existing.input_hash != json_values.hash_of(new_execution.given_text(context)):
        raise error
    return existing


def _load(saga_id: str) -> tuple[SagaExecution, dt.datetime]:
    """Return the execution and the time of the database at the query."""
    rows = SagaExecution.objects.using(database.alias()).with_id(saga_id)
    query = rows.annotate(seen_at=CLOCK.now())
    execution: Any = database.persist(query.first)
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


def _stop_at(max_seconds: float | None) -> float:
    return math.inf if max_seconds is None else CLOCK.elapsed() + max_seconds


def _refuse_inside_transaction(call: str) -> None:
    if database.in_transaction():
        raise InsideTransaction(call)


_orchestrator = SagaOrchestrator()
