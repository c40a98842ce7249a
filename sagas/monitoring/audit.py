"""Whether an execution's row is what its history gives (promise 15), a sentence for each place where it is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.db import Error as DatabaseError
from django.db import models

from sagas.definition import json_values
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.definition.states import Direction
from sagas.engine.history import past_attempt
from sagas.engine.leased_execution import load_history
from sagas.engine.replay import NOTES, comparable_state, replay
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.models.querysets import ExecutionQuerySet
from sagas.presentation.execution_view import ExecutionView
from sagas.storage import database

Kind = SagaEvent.Kind
BATCH = 50  # rows of a quarter of a megabyte, at worst
TRIES = 20


@dataclass(frozen=True)
class Finding:
    """What a look at one execution brought: its violations and, where it could not be folded, why."""

    saga_id: str
    saga_name: str
    violations: Sequence[str] = ()
    unverifiable: str = ""


def examine(executions: ExecutionQuerySet) -> Iterator[Finding]:
    """A finding for each of them, in the order of their ids; what moves or is deleted meanwhile is borne."""
    for keys in _batches(executions):
        sound = _sound_at_first_sight(keys)
        for key in keys:
            finding = sound.get(key) or _look_closely(key)
            if finding:
                yield finding


def load_whole(keys: Sequence[int]) -> list[ExecutionView]:
    """Load these executions, by primary key, with the step runs and events of all runs; each row before its history."""
    rows = list(_executions().filter(pk__in=keys))
    runs, events = defaultdict(list), defaultdict(list)
    for run in StepRun.objects.using(database.alias()).filter(execution_id__in=keys).order_by("sequence"):
        runs[run.execution_id].append(run)
    for event in SagaEvent.objects.using(database.alias()).filter(execution_id__in=keys).order_by("pk"):
        events[event.execution_id].append(event)
    return [_view(row, runs[row.pk], events[row.pk]) for row in rows]


def violations_of(saga: Saga, view: ExecutionView) -> list[str]:
    """Where row and history disagree by this definition, and what in the history cannot have happened."""
    found = [*_violations_of_order(view), *_order_of_undos(view)]
    try:
        return [*found, *_violations_of_fold(saga, view)]
    except Exception as error:  # noqa: BLE001  (falsified rows may raise anything; the text may be personal)
        return [*found, f"its history cannot be folded ({type(error).__name__})"]


def _batches(executions: ExecutionQuerySet) -> Iterator[list[int]]:
    last = 0
    while keys := list(executions.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        yield keys
        last = keys[-1]


def _sound_at_first_sight(keys: Sequence[int]) -> dict[int, Finding]:
    """Findings of those without violations; rows and histories are not read in the same moment."""
    try:
        findings = {view.execution.pk: _finding(view) for view in load_whole(keys)}
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001  (what is wrong with one row must not hide the others)
        return {}
    return {key: finding for key, finding in findings.items() if not finding.violations}


def _look_closely(key: int) -> Finding | None:
    """The finding on one whose row and history were read while it stood still; None when it is gone."""
    names = _executions().filter(pk=key).values_list("saga_id", "saga_name").first()
    if names is None:
        return None
    try:
        for _ in range(TRIES):
            views = load_whole([key])
            if all(map(_stood_still, views)):
                return _finding(views[0]) if views else None
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001  (as above)
        return Finding(*names, [f"its row or its history cannot be read ({type(error).__name__})"])
    return Finding(*names, unverifiable="it moves too fast to be read")


def _stood_still(view: ExecutionView) -> bool:
    """Whether row and history are of one moment: whatever is added to the history, but for remarks, raises the row's
    version."""
    return _executions().filter(pk=view.execution.pk, version=view.execution.version).exists()


def _view(execution: SagaExecution, step_runs: Sequence[StepRun], events: Sequence[SagaEvent]) -> ExecutionView:
    current = tuple(past_attempt(row) for row in step_runs if row.run == execution.run)
    saga, history = all_sagas().get(execution.saga_name), load_history(execution, current)
    return ExecutionView(execution, saga, history, step_runs, events)


def _executions() -> models.QuerySet[SagaExecution]:
    return SagaExecution.objects.using(database.alias())


def _finding(view: ExecutionView) -> Finding:
    """What today's definitions say of it; without its own, only what holds for every saga is looked at."""
    execution = view.execution
    saga = all_sagas().get(execution.saga_name)
    unverifiable = _why_not(saga, execution)
    known = saga is not None and not unverifiable
    violations = violations_of(saga, view) if saga and known else list(_violations_of_order(view))
    return Finding(execution.saga_id, execution.saga_name, violations, unverifiable)


def _why_not(saga: Saga | None, execution: SagaExecution) -> str:
    if saga is None:
        return f"no saga named {execution.saga_name!r} is registered here"
    gone = next((name for name in execution.plan if saga.step(name) is None), "")
    return f"it was planned with the step {gone!r}, which {saga.name} does not define any more" if gone else ""


def _violations_of_order(view: ExecutionView) -> Iterator[str]:
    """What holds for each run of each saga, whatever its definition."""
    yield from _runs_that_never_began(view)
    yield from _order_of_versions(view)
    for key in dict.fromkeys((run.run, run.step, run.direction) for run in view.step_runs):
        attempts = [run.attempt for run in view.step_runs if (run.run, run.step, run.direction) == key]
        if attempts != list(range(1, len(attempts) + 1)):
            yield f"the attempts of {key[1]} ({key[2]}) in run {key[0]} are numbered {attempts}"
    strange = [run.step for run in view.current_step_runs if run.step not in view.execution.plan]
    if strange:
        yield f"there are attempts of what was never planned: {', '.join(dict.fromkeys(strange))}"


def _runs_that_never_began(view: ExecutionView) -> Iterator[str]:
    """Each run after the first begins with a retry, and nothing belongs to any other."""
    began = [event.data["run"] for event in (view.events or ()) if event.kind == Kind.RETRY and "run" in event.data]
    if began != list(range(2, view.execution.run + 1)):
        yield f"the row is in run {view.execution.run}, the retries began the runs {began}"
    known = {1, *began}
    lost = sorted(({run.run for run in view.step_runs} | {event.run for event in view.events or ()}) - known)
    if lost:
        yield f"the history has entries of the runs {lost}, which never began"


def _order_of_versions(view: ExecutionView) -> Iterator[str]:
    """Versions go on, and runs with them; a lost lease is put down by its finder, who may be late.

    A remark has the version that its writer saw, which may be behind by then.
    """
    moves = [event for event in (view.events or ()) if event.kind not in NOTES]
    events = [event for event in moves if event.kind != Kind.LOST_LEASE]
    if any(before > after for before, after in pairwise(event.version for event in events)):
        yield f"the events' versions {[event.version for event in events]} go back"
    rows = [(run.sequence, run.run) for run in view.step_runs] + [(event.version, event.run) for event in events]
    if any(before[1] > after[1] for before, after in pairwise(sorted(rows))):
        yield "what happened in one run has a later version than what happened in the next"
    last = max([version for version, _ in rows], default=0)
    if last > view.execution.version:
        yield f"the history has version {last}, the row only {view.execution.version}"


def _violations_of_fold(saga: Saga, view: ExecutionView) -> Iterator[str]:
    execution = view.execution
    replayed = replay(saga, execution, view.current_step_runs, view.current_events)
    yield from replayed.objections
    for column, value in replayed.columns.items():
        stored: Any = getattr(execution, column)
        stored = comparable_state(stored) if column == "state" else stored
        if stored != value:
            yield _difference(column, value, stored)
    changes = json_values.changes_between(replayed.context, execution.context)
    if changes:
        differing = sorted([*changes.get("set", ()), *changes.get("deleted", ())])
        yield f"the history gives other values of {', '.join(differing)} than the row's context"


def _difference(column: str, value: Any, stored: Any) -> str:
    """The reason for a hold is in people's words, which may be personal."""
    if column != "held":
        return f"the history gives {column} {_plain(value)}, the row has {_plain(stored)}"
    if value and stored:
        return "the history gives another reason to hold it than the row"
    return f"by the history it is {'held' if value else 'not held'}, by the row it is{' held' if stored else ' not'}"


def _plain(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str) else repr(value)


def _order_of_undos(view: ExecutionView) -> Iterator[str]:
    """The undos of a run begin in strict reverse order."""
    runs, plan = view.current_step_runs, list(view.execution.plan)
    firsts = list(dict.fromkeys(run.step for run in runs if run.direction == Direction.COMPENSATION))
    places = [plan.index(name) for name in firsts if name in plan]
    if any(before <= after for before, after in pairwise(places)):
        yield f"the undos began in the order {', '.join(firsts)}"
