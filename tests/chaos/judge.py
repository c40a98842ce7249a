"""What is wrong, a sentence each, by the saga tables and by the provider's ledger; read when nothing runs any more.

I1 to I6 are those of sagas.testing. The rest: no worker that lost an execution wrote again (I7), an id is one execution
(I8), and nothing changes once all has ended (I10). I9, that all ends by itself and soon, is the soak's own.
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

from .outside import Provider, World

Snapshot = dict[tuple[str, str], Any]


def violations(provider: Provider) -> list[str]:
    """What is wrong with any of the sagas."""
    world, objections = World(provider), provider.objections()
    found = []
    for execution in SagaExecution.objects.order_by("pk").iterator():
        saga = get_saga(execution.saga_name)
        wrong = [
            *violations_of(saga, execution.saga_id, world.effects(execution)),
            *_writes_of_losers(execution),
            *objections.pop(execution.saga_id, ()),
            *_unfinished(execution),
        ]
        found += [f"{execution.saga_id}: {sentence}" for sentence in wrong]
    return found + [f"{saga}: {sentence}" for saga, sentences in objections.items() for sentence in sentences]


def double_starts(started: Mapping[str, set[int]]) -> Iterator[str]:
    """I8: each id is one execution, and each execution has been asked for."""
    known = dict(SagaExecution.objects.values_list("saga_id", "pk"))
    for saga_id in known.keys() | started.keys():
        if started.get(saga_id) != {known.get(saga_id)}:
            yield f"I8: {saga_id} is execution {known.get(saga_id)}, its starts gave {started.get(saga_id)}"


def snapshot(provider: Provider) -> Snapshot:
    """Where everything stands: rows, histories and effects."""
    world = World(provider)
    counts = {"runs": Count("step_runs", distinct=True), "last_event": Max("events__id")}
    executions = SagaExecution.objects.annotate(**counts)
    seen: Snapshot = {}
    for execution in executions.iterator():
        row = execution.state, execution.version, execution.needs_attention, execution.runs, execution.last_event
        seen[execution.saga_id, ""] = row
        seen |= {(execution.saga_id, step): effect for step, effect in world.effects(execution).items()}
    return seen


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """I10: what is different, although all had ended."""
    return [
        f"{saga_id}: I10: {step or 'its row'} was {before.get((saga_id, step))} and became {now}"
        for (saga_id, step), now in after.items()
        if before.get((saga_id, step)) != now
    ]


def attention() -> tuple[Counter[str], list[str]]:
    """Why sagas that ended by themselves want to be looked at, and which others would need somebody's help.

    A saga that ended FAILED because a step spent its budget was undone, and says so: an attempt in doubt of a step that
    is not idempotent spends it at once. Everything else, such as a hold or an undo given up, is a person's work.
    """
    spent: Counter[str] = Counter()
    unexplained = []
    for execution in SagaExecution.objects.filter(needs_attention=True):
        view = history.facts_of(load_history(execution)).get(execution.failed_step)
        if execution.state is SagaState.FAILED and view and _is_spent(execution, view):
            spent[execution.failed_step] += 1
        else:
            why = execution.held or f"{execution.failed_step} ended {view.ending if view else ''}"
            unexplained.append(f"{execution.saga_id} is {execution.state}: {why}")
    return spent, unexplained


def _is_spent(execution: SagaExecution, view: history.View) -> bool:
    step = get_saga(execution.saga_name).step(execution.failed_step)
    lost = step is not None and not step.idempotent and view.ending is Ending.NONE
    return lost or view.ending is Ending.SPENT


def _writes_of_losers(execution: SagaExecution) -> Iterator[str]:
    """I7: each claim has a name of its own; once another one has written, it never does again."""
    workers = StepRun.objects.filter(execution=execution).order_by("sequence").values_list("worker", flat=True)
    blocks = [worker for worker, _ in groupby(workers)]
    if len(blocks) > len(set(blocks)):
        yield f"I7: a worker that had lost it wrote again: {', '.join(blocks)}"


def _unfinished(execution: SagaExecution) -> Iterator[str]:
    if execution.state not in (SagaState.SUCCEEDED, SagaState.FAILED):
        yield f"I9: it is {execution.state}{f', held: {execution.held}' if execution.held else ''}"
    if execution.leased or execution.due_at:
        yield "I4: it has ended, and yet somebody has it or it is due"
