"""What people may do to an execution: which acts its state allows, what each would do, and doing it.

Every surface (admin, API, commands, the orchestrator) asks here, so all of them allow and say the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from sagas.definition import json_values
from sagas.definition.exceptions import ActRefused, VersionMoved
from sagas.definition.states import Resolution, SagaState
from sagas.engine import checkpoint, history
from sagas.engine.logs import log
from sagas.models import SagaExecution
from sagas.presentation.execution_view import ExecutionView, load_view

from .base import PYTHON, Actor, Call, Operation, Preview
from .guards import GUARDS, why_not_resolve_step
from .handlers import HANDLERS, Stale
from .notes import note, reveal
from .preview import PREVIEWS

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
    """The acts that the execution's state allows now."""
    return _allowed(load_view(saga_id))


def blocked_reasons(view: ExecutionView) -> dict[Operation, str]:
    """Each act with the sentence why it is not possible in this situation, "" for those that are."""
    return {operation: refusal(view) for operation, refusal in GUARDS.items()}


def resolutions(saga_id: str) -> tuple[tuple[str, Resolution], ...]:
    """Each step with each word of a person on it that would be taken now and can be true, where any would be."""
    view = load_view(saga_id)
    facts = history.facts_of(view.history)
    pairs = [(step, word) for step in view.history.plan for word in Resolution]
    possible = [(step, word) for step, word in pairs if not (facts[step].done and word is Resolution.NOT_DONE)]
    return tuple(pair for pair in possible if not why_not_resolve_step(view, *pair))


def plan(operation: Operation, saga_id: str, **parameters: Any) -> Preview:
    """What the act would do now; ActRefused if the state does not allow it. Writes nothing."""
    view = _checked(Operation(operation), saga_id, None, parameters)
    sentence, calls = PREVIEWS[Operation(operation)](view)
    keep = () if operation is Operation.RETRY and view.state is SagaState.FAILED else view.execution.steps_completed
    not_repeated = tuple(name for name in keep if name not in {call.step for call in calls})
    doubt = tuple(history.in_doubt(view.history))
    return Preview(Operation(operation), saga_id, view.execution.version, sentence, tuple(calls), not_repeated, doubt)


def perform(
    operation: Operation,
    saga_id: str,
    *,
    reason: str = "",
    by: Actor = PYTHON,
    version: int | None = None,
    **parameters: Any,
) -> SagaExecution:
    """Do it, once, with a SagaEvent that tells who, why and what changed; what follows is queued for the workers.

    `version`, where given, must still be the execution's. `resolve` takes step, outcome, output and evidence,
    `correct` takes context. Raises ActRefused (ActOutdated if the version has moved), UnknownExecution, InvalidInput.
    """
    operation = Operation(operation)
    for _ in range(TRIES):
        view = _checked(operation, saga_id, version, parameters)
        try:
            execution = HANDLERS[operation](view, by, json_values.clean_text(reason), **parameters)
        except Stale:
            continue
        except checkpoint.OnChangeFailed as error:
            sentence = gettext("what follows from it could not be written down: %(error)s") % {"error": error}
            raise ActRefused(operation, saga_id, sentence) from error
        log(
            logging.INFO,
            "operation.performed",
            operation=operation,
            saga_id=saga_id,
            saga=execution.saga_name,
            source=by.source,
        )
        return execution
    raise ActRefused(operation, saga_id, gettext("it keeps moving; look again and try then."))


def _checked(operation: Operation, saga_id: str, version: int | None, parameters: Mapping[str, Any]) -> ExecutionView:
    view = load_view(saga_id, bound=version is not None)
    if version is not None and view.execution.version != version:
        sentence = gettext("it has moved since you looked; look again and decide then.")
        raise VersionMoved(operation, saga_id, sentence, _allowed(view))
    sentence = GUARDS[operation](view)
    if not sentence and operation is Operation.RESOLVE and parameters:
        sentence = why_not_resolve_step(view, **parameters)
    if sentence:
        raise ActRefused(operation, saga_id, sentence, _allowed(view))
    return view


def _allowed(view: ExecutionView) -> tuple[Operation, ...]:
    return tuple(operation for operation, refusal in GUARDS.items() if not refusal(view))
