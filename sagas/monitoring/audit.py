"""Audit executions: check that the row of an execution agrees with its history."""

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
CHUNK = 50  # limits the memory: a row may have a quarter of a megabyte
TRIES = 20


@dataclass(frozen=True)
class Finding:
    """The result of an audit of one execution.

    `violations` has one sentence for each problem. `unverifiable` is the reason why no replay was possible, or "".
    """

    saga_id: str
    saga_name: str
    violations: Sequence[str] = ()
    unverifiable: str = ""


def examine(executions: ExecutionQuerySet) -> Iterator[Finding]:
    """Yield the audit of each execution, by primary key. Executions may change or disappear during the audit."""
    last = 0
    while keys := list(executions.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        clean = _clean_findings(keys)
        for key in keys:
            finding = clean.get(key) or _examine_again(key)
            if finding:
                yield finding
        last = keys[-1]


def load_whole(keys: Sequence[int]) -> list[ExecutionView]:
    """Load executions with the step runs and events of all runs. Read the rows before the histories."""
    rows = list(_executions().filter(pk__in=keys))
    runs, events = defaultdict(list), defaultdict(list)
    for run in StepRun.objects.using(database.alias()).filter(execution_id__in=keys).order_by("sequence"):
        runs[run.execution_id].append(run)
    for event in SagaEvent.objects.using(database.alias()).filter(execution_id__in=keys).order_by("pk"):
        events[event.execution_id].append(event)
    views = []
    for row in rows:
        current = tuple(past_attempt(run) for run in runs[row.pk] if run.run == row.run)
        saga, history = all_sagas().get(row.saga_name), load_history(row, current)
        views.append(ExecutionView(row, saga, history, runs[row.pk], events[row.pk]))
    return views


def violations_of(saga: Saga, view: ExecutionView) -> list[str]:
    """Return the differences between row and history under this definition, and the impossible entries."""
    found = [*_violations_of_order(view), *_order_of_compensations(view)]
    try:
        return [*found, *_violations_of_replay(saga, view)]
    except Exception as error:  # noqa: BLE001  (changed rows may raise any exception; its message may be personal)
        return [*found, f"its history cannot be replayed ({type(error).__name__})"]


def _clean_findings(keys: Sequence[int]) -> dict[int, Finding]:
    """Return the findings without violations.

    The other executions need a second look, because they may have changed between the reads of row and history.
    """
    try:
        findings = {view.execution.pk: _finding(view) for view in load_whole(keys)}
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001  (one unreadable row must not hide the others)
        return {}
    return {key: finding for key, finding in findings.items() if not finding.violations}


def _examine_again(key: int) -> Finding | None:
    """Audit one execution. Repeat the read if its row changed meanwhile. Return None if the row was deleted."""
    names = _executions().filter(pk=key).values_list("saga_id", "saga_name").first()
    if names is None:
        return None
    try:
        for _ in range(TRIES):
            views = load_whole([key])
            if not views:
                return None
            # Every new entry of the history except a note increments the version.
            if _executions().filter(pk=key, version=views[0].execution.version).exists():
                return _finding(views[0])
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001  (as above)
        return Finding(*names, [f"its row or its history cannot be read ({type(error).__name__})"])
    return Finding(*names, unverifiable="it changes too fast to be read")


def _executions() -> models.QuerySet[SagaExecution]:
    return SagaExecution.objects.using(database.alias())


def _finding(view: ExecutionView) -> Finding:
    """Audit with the registered definition. Without one, check only the rules of all sagas."""
    execution, saga = view.execution, view.saga
    if saga is None:
        unverifiable = f"no saga named {execution.saga_name!r} is registered here"
    else:
        missing = next((name for name in execution.plan if saga.step(name) is None), "")
        unverifiable = f"its plan has the step {missing!r}, which {saga.name} no longer defines" if missing else ""
    if saga is None or unverifiable:
        return Finding(execution.saga_id, execution.saga_name, list(_violations_of_order(view)), unverifiable)
    return Finding(execution.saga_id, execution.saga_name, violations_of(saga, view))


def _violations_of_order(view: ExecutionView) -> Iterator[str]:
    """Yield violations of the rules that do not depend on the saga's definition."""
    yield from _runs_without_start(view)
    yield from _order_of_versions(view)
    for key in dict.fromkeys((run.run, run.step, run.direction) for run in view.step_runs):
        attempts = [run.attempt for run in view.step_runs if (run.run, run.step, run.direction) == key]
        if attempts != list(range(1, len(attempts) + 1)):
            yield f"the attempts of {key[1]} ({key[2]}) in run {key[0]} are numbered {attempts}"
    unplanned = [run.step for run in view.current_step_runs if run.step not in view.execution.plan]
    if unplanned:
        yield f"there are attempts of steps that are not in the plan: {', '.join(dict.fromkeys(unplanned))}"


def _runs_without_start(view: ExecutionView) -> Iterator[str]:
    """Check that each run after the first began with a retry, and that each entry belongs to one of these runs."""
    events = view.events or ()
    began = [event.data["run"] for event in events if event.kind == Kind.RETRY and "run" in event.data]
    if began != list(range(2, view.execution.run + 1)):
        yield f"the row is in run {view.execution.run}, but the retries began the runs {began}"
    strays = sorted(({run.run for run in view.step_runs} | {event.run for event in events}) - {1, *began})
    if strays:
        yield f"the history has entries of the runs {strays}, which never began"


def _order_of_versions(view: ExecutionView) -> Iterator[str]:
    """Check that versions and runs never decrease.

    Two kinds of events may have an old version, so they are not checked: a lost lease, which a later owner writes, and
    a note, which has the version that its author saw.
    """
    events = [event for event in view.events or () if event.kind not in NOTES and event.kind != Kind.LOST_LEASE]
    if any(before > after for before, after in pairwise(event.version for event in events)):
        yield f"the versions of the events decrease: {[event.version for event in events]}"
    rows = [(run.sequence, run.run) for run in view.step_runs] + [(event.version, event.run) for event in events]
    if any(before[1] > after[1] for before, after in pairwise(sorted(rows))):
        yield "an entry of one run has a later version than an entry of the next run"
    last = max([version for version, _ in rows], default=0)
    if last > view.execution.version:
        yield f"the history has version {last}, but the row has {view.execution.version}"


def _violations_of_replay(saga: Saga, view: ExecutionView) -> Iterator[str]:
    """Yield the differences between the row and a replay of the history."""
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
    """Describe a difference. Leave out the reason of a hold, because it may be personal."""
    if column != "held":
        # str() turns an enum member into its value.
        given, kept = (repr(str(one) if isinstance(one, str) else one) for one in (value, stored))
        return f"the history gives {column} {given}, the row has {kept}"
    if value and stored:
        return "the history gives another reason for the hold than the row"
    return f"the history says that it is {'held' if value else 'not held'}, the row does not"


def _order_of_compensations(view: ExecutionView) -> Iterator[str]:
    """Check that the compensations of a run began in reverse order."""
    runs, plan = view.current_step_runs, list(view.execution.plan)
    firsts = list(dict.fromkeys(run.step for run in runs if run.direction == Direction.COMPENSATION))
    places = [plan.index(name) for name in firsts if name in plan]
    if any(before <= after for before, after in pairwise(places)):
        yield f"the compensations began in the order {', '.join(firsts)}"
