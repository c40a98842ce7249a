"""Find broken promises in the saga tables and the provider's ledger, after all executions have ended.

sagas.testing checks I1 to I6. This module checks I7 to I10:

- I7: a worker that lost an execution no longer writes to it.
- I8: an id has one execution.
- I9: all executions end by themselves.
- I10: nothing changes after the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from django.db.models import Count, Max

from sagas import SagaState
from sagas.definition.registry import get_saga
from sagas.definition.states import Ending
from sagas.engine import history
from sagas.engine.leased_execution import load_history
from sagas.models import SagaExecution, StepRun
from sagas.testing import violations_of

from .outside import AllEffects, Provider

Snapshot = dict[tuple[str, str], Any]


def violations(provider: Provider) -> list[str]:
    """Return all violations, each with the saga's id."""
    effects, objections = AllEffects(provider), provider.objections()
    found = []
    for execution in SagaExecution.objects.order_by("pk").iterator():
        saga = get_saga(execution.saga_name)
        wrong = [
            *violations_of(saga, execution.saga_id, effects.of(execution)),
            *_writes_without_lease(execution),
            *objections.pop(execution.saga_id, ()),
            *_unfinished(execution),
        ]
        found += [f"{execution.saga_id}: {sentence}" for sentence in wrong]
    return found + [f"{saga}: {sentence}" for saga, sentences in objections.items() for sentence in sentences]


def double_starts(started: Mapping[str, set[int]]) -> Iterator[str]:
    """I8: yield ids with several executions, and executions that no client started."""
    known = dict(SagaExecution.objects.values_list("saga_id", "pk"))
    for saga_id in known.keys() | started.keys():
        if started.get(saga_id) != {known.get(saga_id)}:
            yield f"I8: {saga_id} is execution {known.get(saga_id)}, its starts returned {started.get(saga_id)}"


def snapshot(provider: Provider) -> Snapshot:
    """Return the current rows, histories and effects."""
    effects = AllEffects(provider)
    counts = {"runs": Count("step_runs", distinct=True), "last_event": Max("events__id")}
    executions = SagaExecution.objects.annotate(**counts)
    seen: Snapshot = {}
    for execution in executions.iterator():
        row = execution.state, execution.version, execution.needs_attention, execution.runs, execution.last_event
        seen[execution.saga_id, ""] = row
        seen |= {(execution.saga_id, step): effect for step, effect in effects.of(execution).items()}
    return seen


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """I10: return what changed after all executions had ended."""
    return [
        f"{saga_id}: I10: {step or 'its row'} was {before.get((saga_id, step))} and became {now}"
        for (saga_id, step), now in after.items()
        if before.get((saga_id, step)) != now
    ]


def attention() -> tuple[Counter[str], list[str]]:
    """Return why compensated sagas need attention, and the sagas that need an operator.

    A saga that ended FAILED because a step used all its attempts was compensated. If a step is not idempotent, an
    attempt in doubt uses all its attempts at once. Other reasons, such as a hold or a failed compensation, need an
    operator.
    """
    spent: Counter[str] = Counter()
    needs_operator = []
    for execution in SagaExecution.objects.filter(needs_attention=True):
        facts = history.facts_of(load_history(execution)).get(execution.failed_step)
        if execution.state is SagaState.FAILED and facts and _is_spent(execution, facts):
            spent[execution.failed_step] += 1
        else:
            reason = execution.held or f"{execution.failed_step} ended {facts.ending if facts else ''}"
            needs_operator.append(f"{execution.saga_id} is {execution.state}: {reason}")
    return spent, needs_operator


def _is_spent(execution: SagaExecution, facts: history.StepFacts) -> bool:
    step = get_saga(execution.saga_name).step(execution.failed_step)
    lost = step is not None and not step.idempotent and facts.ending is Ending.NONE
    return lost or facts.ending is Ending.SPENT


def _writes_without_lease(execution: SagaExecution) -> Iterator[str]:
    """I7: yield a violation if a worker wrote again after another one; each claim has a unique worker name."""
    workers = StepRun.objects.filter(execution=execution).order_by("sequence").values_list("worker", flat=True)
    blocks = [worker for worker, _ in groupby(workers)]
    if len(blocks) > len(set(blocks)):
        yield f"I7: a worker that had lost its lease wrote again: {', '.join(blocks)}"


def _unfinished(execution: SagaExecution) -> Iterator[str]:
    if execution.state not in (SagaState.SUCCEEDED, SagaState.FAILED):
        yield f"I9: it is {execution.state}{f', held: {execution.held}' if execution.held else ''}"
    if execution.leased or execution.due_at:
        yield "I4: it has ended, but it is leased or due"
