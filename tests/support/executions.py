"""Start executions, move their times into the past, and read their step runs."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from django.db.models import F

from sagas import Saga, SagaStep
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.support.tampering import unguarded

ids = itertools.count(1)


def new_id() -> str:
    """Return a saga id that is unique in this process."""
    return f"saga-{next(ids)}"


def run(*steps: SagaStep, saga_id: str | None = None, name: str = "trip", **options: Any) -> SagaExecution:
    """Execute a saga of these steps in this process and return the execution."""
    return get_saga_orchestrator().execute(saga_id or new_id(), name, list(steps), **options)


def run_saga(saga: Saga, saga_id: str | None = None, **options: Any) -> SagaExecution:
    """Execute the saga in this process and return the execution."""
    return get_saga_orchestrator().execute(saga_id or new_id(), saga.name, saga, **options)


def let_pass(execution: SagaExecution, seconds: float) -> SagaExecution:
    """Move all times of the execution into the past by `seconds`."""
    span = dt.timedelta(seconds=seconds)
    rows = SagaExecution.objects.filter(pk=execution.pk)
    rows.update(**{name: F(name) - span for name in ("created_at", "started_at", "finished_at", "due_at", "rank_at")})
    with unguarded():
        execution.events.update(at=F("at") - span)
        execution.step_runs.update(**{name: F(name) - span for name in ("started_at", "finished_at", "retry_at")})
    execution.refresh_from_db()
    return execution


def let_wait_pass(execution: SagaExecution) -> SagaExecution:
    """Move all times of a waiting execution into the past, so that it is due now."""
    execution.refresh_from_db()
    if execution.due_at is None:
        return execution
    left = (execution.due_at - dt.datetime.now(dt.UTC)).total_seconds() + 0.01  # the database rounds times to 1 ms
    return let_pass(execution, left) if left > 0 else execution


def finish(*steps: SagaStep, saga_id: str) -> SagaExecution:
    """Execute a saga to its end without waiting for its delays."""
    execution = run(*steps, saga_id=saga_id, max_seconds=0)
    while execution.due_at:
        let_wait_pass(execution)
        execution = run(*steps, saga_id=saga_id, max_seconds=0.05)
    return execution


def story(execution: SagaExecution) -> list[str]:
    """Return the step runs of the current run as text: "charge action 1 uncertain"."""
    return [f"{run.step} {run.direction} {run.attempt} {run.outcome}" for run in execution.step_executions]
