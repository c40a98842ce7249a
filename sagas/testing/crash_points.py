"""Crash tests: for each crash point of a saga, run the saga, end its process there, recover it and check the result.

The crash points are the moments before and after each commit to the executions' database, and before and after each
provider call that the providers report.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from sagas.definition.saga import Saga
from sagas.definition.states import SagaState
from sagas.engine import new_execution
from sagas.models import SagaExecution
from sagas.models.clock import CLOCK
from sagas.orchestrator import get_saga_orchestrator
from sagas.storage import database

from .child_process import ChildResult, run_in_child
from .fake_clock import FakeClock
from .invariants import violations_of
from .providers import Call, CallListener, Providers

CRASHED = 86
WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")

Context = Mapping[str, Any] | Callable[[str], Mapping[str, Any]]


@dataclass
class CrashPointCounter:
    """Counts the crash points that this process reaches, from 1, and exits at number `fatal`."""

    fatal: int | None = None
    passed: list[str] = field(default_factory=list)

    def reach(self, point: Call | str) -> None:
        """Count a crash point, and exit if its number is `fatal`."""
        self.passed.append(str(point))
        if len(self.passed) == self.fatal:
            os._exit(CRASHED)


@dataclass(frozen=True)
class Trial:
    """The result of one execution. It crashed at `crashes`, each time in a new process, and then ran to its end."""

    saga_id: str
    crashes: tuple[int, ...]
    where: str
    state: SagaState
    violations: tuple[str, ...]

    def __str__(self) -> str:
        crashes = ", then ".join(str(crash) for crash in self.crashes) or "none"
        return f"{self.saga_id}, crashes at {crashes} ({self.where}): {self.state}; {'; '.join(self.violations)}"


@dataclass(frozen=True)
class CrashTest:
    """Crashes a saga at its crash points.

    `context` is the input of each execution, or a function that returns the input for an execution's id. A child
    process may run for `patience` seconds; the waits of the saga are skipped. `listener` is called at each provider
    call. During a test, no transaction may be open and no other thread of this process may use a database.
    """

    saga: Saga
    context: Context
    providers: Providers
    patience: float = 30.0
    listener: CallListener | None = None

    def crash_points(self) -> list[str]:
        """Return the crash points of a run without a crash, in order.

        Raise AssertionError if that run breaks an invariant.
        """
        trial, passed = self.undisturbed()
        if trial.violations:
            raise AssertionError(str(trial))
        return passed

    def undisturbed(self) -> tuple[Trial, list[str]]:
        """Run without a crash. Return the trial and the crash points that it reached, in order."""
        saga_id = _new_id()
        # Validate the input in this process: an error is then raised here, and children inherit the loaded caches.
        new_execution.new_execution(self.saga, saga_id, self._input(saga_id), None)
        passed: list[str] = self._run(saga_id).returned
        return self._trial(saga_id, (), ""), passed

    def trials(self) -> Iterator[Trial]:
        """Yield one trial for each crash point: crash there, then recover."""
        for crash, where in enumerate(self.crash_points(), start=1):
            yield self.trial(crash, where=where)

    def pairs(self, crashes: Iterable[int], *, every: int = 1) -> Iterator[Trial]:
        """Yield trials with two crashes: at each of `crashes`, then at every `every`-th point of its recovery."""
        for first in crashes:
            for second in itertools.count(1, every):
                saga_id = _new_id()
                self._crash(saga_id, first, "")
                if self._run(saga_id, second).code != CRASHED:
                    break  # The recovery has ended before the second crash point.
                self._run(saga_id)
                yield self._trial(saga_id, (first, second), "the second in the recovery")

    def trial(self, *crashes: int, where: str = "") -> Trial:
        """Crash at each of these points, each time in a new process. Then run the execution to its end."""
        saga_id = _new_id()
        for crash in crashes:
            self._crash(saga_id, crash, where)
        self._run(saga_id)
        return self._trial(saga_id, crashes, where)

    def _crash(self, saga_id: str, crash: int, where: str) -> None:
        if self._run(saga_id, crash).code != CRASHED:
            raise AssertionError(f"{saga_id} ended before it reached crash point {crash} {where}")

    def _run(self, saga_id: str, crash: int | None = None) -> ChildResult:
        """Start or resume the execution in a child process. The child returns the crash points that it reached."""

        def execute() -> list[str]:
            counter = CrashPointCounter(crash)
            expire_lease(saga_id)
            watch_commits(counter.reach)
            if self.listener:
                self.providers.watch(self.listener)
            self.providers.watch(counter.reach)
            with FakeClock():
                get_saga_orchestrator().execute(saga_id, self.saga.name, self.saga, self._input(saga_id))
            return counter.passed

        return run_in_child(execute, expected_exit=CRASHED, patience=self.patience)

    def _input(self, saga_id: str) -> Mapping[str, Any]:
        return self.context(saga_id) if callable(self.context) else self.context

    def _trial(self, saga_id: str, crashes: tuple[int, ...], where: str) -> Trial:
        execution = SagaExecution.objects.using(database.alias()).get(saga_id=saga_id)
        found = violations_of(self.saga, saga_id, self.providers.effects(execution))
        if execution.leased or execution.due_at is not None:
            found.append(f"I9: it was left {execution.state}, {'leased' if execution.leased else 'due'}")
        return Trial(saga_id, crashes, where, execution.state, tuple(found))


def _new_id() -> str:
    return f"crash-{uuid.uuid4().hex[:12]}"


def assert_survives_crashes(saga: Saga, context: Context, providers: Providers) -> list[Trial]:
    """Crash the saga once at each crash point, and return the trials.

    `context` is the input of each execution, or a function that returns the input for an execution's id. Raise
    AssertionError, with a list of these trials, if any trial broke an invariant.
    """
    trials = list(CrashTest(saga, context, providers).trials())
    broken = [str(trial) for trial in trials if trial.violations]
    if broken:
        raise AssertionError(f"{len(broken)} of {len(trials)} crashes broke an invariant:\n" + "\n".join(broken))
    return trials


def expire_lease(saga_id: str) -> None:
    """End the lease of the execution now, without moving the clock."""
    SagaExecution.objects.using(database.alias()).filter(saga_id=saga_id, leased=True).update(due_at=CLOCK.now())


def watch_commits(reach: Callable[[str], None]) -> None:
    """Call `reach` before and after each commit of this thread to the executions' database.

    Django has no hook for COMMIT, so this function replaces methods of the connection. It does not restore them: call
    it only in a process that ends soon.
    """
    here = database.connection()
    commit = here._commit  # type: ignore[attr-defined]  # noqa: SLF001  (there is no public method)

    def watched_commit() -> None:
        reach("before commit")
        commit()
        reach("after commit")

    def make_cursor(cursor: Any) -> CursorWrapper:
        return _WatchedCursor(cursor, here, reach)

    vars(here).update(_commit=watched_commit, make_cursor=make_cursor)


class _WatchedCursor(CursorWrapper):
    """A cursor that reports the statements outside a transaction, because each of them commits by itself.

    SQLite commits such a statement when its rows have been read or the cursor is closed.
    """

    def __init__(self, cursor: Any, here: BaseDatabaseWrapper, reach: Callable[[str], None]) -> None:
        super().__init__(cursor, here)
        self._reach, self._commits = reach, False

    def execute(self, sql: Any, params: Any = None) -> Any:
        """Run the statement. If it commits by itself, report the crash point before it."""
        writes = str(sql).lstrip().upper().startswith(WRITES)
        if writes and not self.db.in_atomic_block and self.db.get_autocommit():
            self._reach("before statement")
            self._commits = True
        return super().execute(sql, params)

    def close(self) -> None:
        """Close the cursor. This ends the statement, so report the crash point after it."""
        self.cursor.close()
        if self._commits:
            self._commits = False
            self._reach("after statement")
