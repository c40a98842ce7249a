"""Operations of operators on an execution: guards, previews and handlers. Admin, API, commands and Python use them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from sagas.definition import json_values
from sagas.definition.exceptions import ActRefused, VersionMoved
from sagas.definition.states import Resolution
from sagas.engine.logs import log
from sagas.engine.on_change import OnChangeFailed
from sagas.models import SagaExecution
from sagas.presentation.execution_view import ExecutionView, load_view

from . import guards
from .guards import blocked_reasons
from .handlers import HANDLERS
from .notes import note, reveal
from .operation import PYTHON, Actor, Call, Command, Operation, Preview
from .preview import preview_of
from .row_update import Stale

__all__ = [
    "PYTHON",
    "Actor",
    "Call",
    "Operation",
    "Preview",
    "allowed",
    "blocked_reasons",
    "note",
    "perform",
    "plan",
    "resolutions",
    "reveal",
]

TRIES = 20


def allowed(saga_id: str) -> tuple[Operation, ...]:
    """Return the operations that are possible now. Raise UnknownExecution if there is no such execution."""
    return guards.allowed(load_view(saga_id))


def resolutions(saga_id: str) -> tuple[tuple[str, Resolution], ...]:
    """Return each pair of step and resolution that is possible now. Raise UnknownExecution if there is no execution."""
    return guards.resolutions(load_view(saga_id))


def plan(operation: Operation, saga_id: str, **parameters: Any) -> Preview:
    """Return a preview of the operation, without writing. Raise ActRefused if the operation is not possible now."""
    command = Command(Operation(operation), PYTHON)
    return preview_of(command.operation, _checked(command, saga_id, parameters))


def perform(
    operation: Operation,
    saga_id: str,
    *,
    reason: str = "",
    by: Actor = PYTHON,
    version: int | None = None,
    **parameters: Any,
) -> SagaExecution:
    """Perform the operation and record it as a SagaEvent. Workers make the calls that follow from it.

    If `version` is given, the execution must still have this version. The `parameters` of `resolve` are step, outcome,
    output and evidence; `correct` has context. Raise ActRefused (VersionMoved if the version differs),
    UnknownExecution or InvalidInput.
    """
    command = Command(Operation(operation), by, json_values.clean_text(reason), version)
    for _ in range(TRIES):
        try:
            return _try(command, saga_id, parameters)
        except Stale:
            continue
    raise ActRefused(operation, saga_id, gettext("it keeps changing; try again in a moment."))


def _try(command: Command, saga_id: str, parameters: Mapping[str, Any]) -> SagaExecution:
    operation, view = command.operation, _checked(command, saga_id, parameters)
    try:
        execution = HANDLERS[operation](view, command, **parameters)
    except OnChangeFailed as error:
        sentence = gettext("nothing was changed, because on_change raised an error: %(error)s")
        raise ActRefused(operation, saga_id, sentence % {"error": error}) from error
    names = {"saga_id": saga_id, "saga": execution.saga_name, "source": command.actor.source}
    log(logging.INFO, "operation.performed", operation=operation, **names)
    return execution


def _checked(command: Command, saga_id: str, parameters: Mapping[str, Any]) -> ExecutionView:
    """Load the execution. Check that it has the expected version and allows the operation."""
    operation, view = command.operation, load_view(saga_id)
    if command.version not in (None, view.execution.version):
        sentence = gettext("it has changed since you looked at it. Look again, then decide.")
        raise VersionMoved(operation, saga_id, sentence, guards.allowed(view))
    reason = guards.why_not(operation, view)
    if not reason and operation is Operation.RESOLVE and parameters:
        reason = guards.why_not_resolve(view, parameters["step"], parameters["outcome"])
    if reason:
        raise ActRefused(operation, saga_id, reason, guards.allowed(view))
    return view
