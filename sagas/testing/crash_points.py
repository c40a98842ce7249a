"""Runs a saga once for each moment at which its process can die, lets it die there, recovers it and looks.

The moments, boundaries, are: before and after each commit to the executions' database, and whatever a `World`
tells of, such as the moment before a provider's effect and the moment after it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from sagas.definition.saga import Saga
from sagas.definition.states import SagaState
from sagas.engine import new_execution
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.orchestrator import get_saga_orchestrator
from sagas.storage import database

from .calls import Call, Tell
from .children import Ended, run_in_child
from .clocks import FakeClock
from .invariants import Effect, violations_of

DIED = 86
WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")

Context = Mapping[str, Any] | Callable[[str], Mapping[str, Any]]


class Outside(Protocol):
    """The outside world, as the runner needs to know it; `World` is one."""

    def watch(self, tell: Tell) -> None:
        """From now on, in this process, tell of each call to a provider, before its effect and after it."""

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """What the world's own ledger says of the steps of the execution's current run, by their names."""


@dataclass
class Boundaries:
    """Notes the boundaries that this process comes to, and dies at number `fatal`, from 1."""

    fatal: int | None = None
    passed: list[str] = field(default_factory=list)

    def tell(self, boundary: Call | str) -> None:
        """The process has come to this boundary."""
        self.passed.append(str(boundary))
        if len(self.passed) == self.fatal:
            os._exit(DIED)


@dataclass(frozen=True)
class Trial:
    """A saga that died at the `deaths` (boundary numbers, one for each process) and was then brought to its end."""

    saga_id: str
    deaths: tuple[int, ...]
    where: str
    state: SagaState
    violations: tuple[str, ...]

    def __str__(self) -> str:
        deaths = ", then ".join(str(death) for death in self.deaths) or "none"
        return f"{self.saga_id}, deaths at {deaths} ({self.where}): {self.state}; {'; '.join(self.violations)}"


@dataclass(frozen=True)
class CrashPoints:
    """A saga, the input of its executions, or a function that makes one from an id, and the world that it acts upon.

    `patience` is how many seconds a child may take; waits of the saga's take none, for its clock jumps. Call it with
    no transaction open, and with no other thread of this process using a database.
    """

    saga: Saga
    context: Context
    world: Outside
    patience: float = 30.0
    hear: Tell | None = None

    def boundaries(self) -> list[str]:
        """The boundaries of an undisturbed run, in order; AssertionError if that run breaks an invariant."""
        trial, passed = self.undisturbed()
        if trial.violations:
            raise AssertionError(str(trial))
        return passed

    def undisturbed(self) -> tuple[Trial, list[str]]:
        """A run in which nothing dies, and the boundaries that it came to, in order."""
        saga_id = self._new_id()
        # Refused here and not in a child; and what validation loads and caches, no child has to do again.
        new_execution.new_execution(self.saga, saga_id, self._input(saga_id), None)
        passed: list[str] = self._run(saga_id).returned
        return self._judged(saga_id, (), ""), passed

    def trials(self) -> Iterator[Trial]:
        """Die at each boundary, once, and recover."""
        for death, where in enumerate(self.boundaries(), start=1):
            yield self.trial(death, where=where)

    def pairs(self, deaths: Iterable[int], *, every: int = 1) -> Iterator[Trial]:
        """Die at each of these boundaries, at each (or every so many) of the recovery's too, and recover from both."""
        for first in deaths:
            second = 1
            while (trial := self._pair(first, second)) is not None:
                yield trial
                second += every

    def trial(self, *deaths: int, where: str = "") -> Trial:
        """Die at these boundaries, each in a process of its own; then recover in one that lives."""
        saga_id = self._new_id()
        for death in deaths:
            self._die(saga_id, death, where)
        self._run(saga_id)
        return self._judged(saga_id, deaths, where)

    def _pair(self, first: int, second: int) -> Trial | None:
        """None when the recovery ended before it came to the second boundary."""
        saga_id = self._new_id()
        self._die(saga_id, first, "")
        if self._run(saga_id, second).code != DIED:
            return None
        self._run(saga_id)
        return self._judged(saga_id, (first, second), "the second in the recovery")

    def _die(self, saga_id: str, death: int, where: str) -> None:
        if self._run(saga_id, death).code != DIED:
            raise AssertionError(f"{saga_id} ended before it came to boundary {death} {where}")

    def _run(self, saga_id: str, death: int | None = None) -> Ended:
        """Execute, or go on with, the saga in a child; the child returns the boundaries that it passed."""

        def execute() -> list[str]:
            boundaries = Boundaries(death)
            let_the_lease_run_out(saga_id)
            watch_commits(boundaries.tell)
            if self.hear:
                self.world.watch(self.hear)
            self.world.watch(boundaries.tell)
            with FakeClock():
                get_saga_orchestrator().execute(saga_id, self.saga.name, self.saga, self._input(saga_id))
            return boundaries.passed

        return run_in_child(execute, dies_with=DIED, patience=self.patience)

    def _input(self, saga_id: str) -> Mapping[str, Any]:
        return self.context(saga_id) if callable(self.context) else self.context

    def _judged(self, saga_id: str, deaths: tuple[int, ...], where: str) -> Trial:
        execution = SagaExecution.objects.using(database.alias()).get(saga_id=saga_id)
        found = violations_of(self.saga, saga_id, self.world.effects(execution))
        if execution.leased or execution.due_at is not None:
            found.append(f"I9: it was left {execution.state}, {'leased' if execution.leased else 'due'}")
        return Trial(saga_id, deaths, where, execution.state, tuple(found))

    def _new_id(self) -> str:
        return f"crash-{uuid.uuid4().hex[:12]}"


def assert_survives_crashes(saga: Saga, context: Context, world: Outside) -> list[Trial]:
    """Every trial, none of which broke an invariant; AssertionError lists those that did.

    `context` is the input of each execution, or a function that makes it from the execution's id.
    """
    trials = list(CrashPoints(saga, context, world).trials())
    broken = [str(trial) for trial in trials if trial.violations]
    if broken:
        raise AssertionError(f"{len(broken)} of {len(trials)} crashes broke an invariant:\n" + "\n".join(broken))
    return trials


def let_the_lease_run_out(saga_id: str) -> None:
    """Time passes for the execution's lease, and for nothing else: its end is now."""
    SagaExecution.objects.using(database.alias()).filter(saga_id=saga_id, leased=True).update(due_at=CLOCK.now())


def watch_commits(tell: Callable[[str], None]) -> None:
    """Tell of each commit, before and after it, that this thread makes on the executions' database.

    Django offers no hook for COMMIT, so the connection's own methods are wrapped. The wrapping stays: do it in
    a process that is about to end.
    """
    here = database.connection()
    commit = here._commit  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public one

    def watched_commit() -> None:
        tell("before commit")
        commit()
        tell("after commit")

    def make_cursor(cursor: Any) -> CursorWrapper:
        return _WatchedCursor(cursor, here, tell)

    vars(here).update(_commit=watched_commit, make_cursor=make_cursor)


class _WatchedCursor(CursorWrapper):
    """A statement outside a transaction commits by itself: on SQLite once its rows are read, at the latest here."""

    def __init__(self, cursor: Any, here: BaseDatabaseWrapper, tell: Callable[[str], None]) -> None:
        super().__init__(cursor, here)
        self._tell, self._commits = tell, False

    def execute(self, sql: Any, params: Any = None) -> Any:
        """Run the statement; tell of it first, if it commits."""
        writes = str(sql).lstrip().upper().startswith(WRITES)
        if writes and not self.db.in_atomic_block and self.db.get_autocommit():
            self._tell("before statement")
            self._commits = True
        return super().execute(sql, params)

    def close(self) -> None:
        """Close it, and with it the statement."""
        self.cursor.close()
        if self._commits:
            self._commits = False
            self._tell("after statement")
