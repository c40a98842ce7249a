"""Report the attempts of one execution when they end, in this process or in another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from django.db import Error as DatabaseError
from django.db import connections

from sagas.definition.registry import all_sagas
from sagas.engine.leased_execution import HOST
from sagas.models import SagaExecution, StepRun
from sagas.presentation.redactor import redactor_for
from sagas.signals import step_ended
from sagas.storage import database

from .attempt_lines import line_of
from .report import local, process_of

POLL_SECONDS = 0.5


class ProgressReporter:
    """A context manager that prints one line for each attempt that ends, in order.

    The Django signal `step_ended` announces the attempts of this process. A thread polls the database every
    POLL_SECONDS for the attempts of other processes. With `waiting`, it also reports a new worker. With `anew`, it
    also reports the attempts that ended before the `with` block.
    """

    def __init__(self, saga_id: str, say: Callable[[str], None], *, waiting: bool = False, anew: bool = False) -> None:
        self._saga_id, self._say, self._waiting = saga_id, say, waiting
        executions = SagaExecution.objects.using(database.alias()).with_id(saga_id)
        self._last_sequence = 0 if anew else executions.values_list("version", flat=True).first() or 0
        self._owner = ""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._poll, name="sagas-follower", daemon=True)

    def __enter__(self) -> Self:
        self.look()
        step_ended.connect(self._on_step_ended)
        if not database.in_tests_transaction():
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        step_ended.disconnect(self._on_step_ended)
        if self._watch.is_alive():
            self._watch.join()
        if kind is None:
            self.look()

    def look(self) -> SagaExecution | None:
        """Report the new attempts and return the current row of the execution, or None."""
        with self._lock:
            execution = SagaExecution.objects.using(database.alias()).filter(saga_id=self._saga_id).first()
            if execution is None:
                return None
            saga = all_sagas().get(execution.saga_name)
            redactor = redactor_for(execution, saga, personal=False)
            runs = execution.step_runs.using(database.alias()).filter(sequence__gt=self._last_sequence)
            for run in runs.order_by("sequence"):
                self._last_sequence = run.sequence
                self._say(line_of(run, execution, saga, redactor))
            if self._waiting:
                self._report_owner(execution)
            return execution

    def _on_step_ended(self, sender: Any, *, execution: SagaExecution, step_run: StepRun, **_: Any) -> None:
        if execution.saga_id == self._saga_id:
            self.look()

    def _poll(self) -> None:
        try:
            while not self._over.wait(POLL_SECONDS):
                try:
                    self.look()
                except DatabaseError:  # the work in the block reports such errors
                    connections[database.alias()].close()
        finally:
            connections.close_all()

    def _report_owner(self, execution: SagaExecution) -> None:
        """Report another process that has claimed the execution, once per claim."""
        owner = process_of(execution.worker) if execution.leased else ""
        if owner not in ("", self._owner, f"{HOST}:{os.getpid()}") and execution.due_at:
            self._say(f"{owner} is working on it; its lease ends at {local(execution.due_at)} unless it is renewed.")
        self._owner = owner
