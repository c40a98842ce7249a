"""History entries that do not change the execution: notes of operators, and records of access to personal data."""

from __future__ import annotations

import logging

from sagas.definition import json_values
from sagas.definition.exceptions import UnknownExecution
from sagas.engine.logs import log
from sagas.models import SagaEvent, SagaExecution
from sagas.storage import database

from .operation import PYTHON, Actor


def note(saga_id: str, text: str, by: Actor = PYTHON) -> SagaEvent:
    """Add a note to the history. Raise UnknownExecution if there is no such execution."""
    return _record(SagaEvent.Kind.NOTE, saga_id, text, by)


def reveal(saga_id: str, reason: str, by: Actor = PYTHON) -> SagaEvent:
    """Record that a user looked at personal data, and the reason. Raise UnknownExecution if there is no execution."""
    return _record(SagaEvent.Kind.REVEAL, saga_id, reason, by)


def _record(kind: SagaEvent.Kind, saga_id: str, text: str, by: Actor) -> SagaEvent:
    rows = SagaExecution.objects.using(database.alias()).with_id(saga_id)
    row = rows.only("saga_name", "version", "run").first()
    if row is None:
        raise UnknownExecution(saga_id)
    event = SagaEvent.objects.using(database.alias()).create(
        execution=row,
        kind=kind,
        actor=by.user,
        actor_name=by.display_name,
        source=by.source,
        reason=json_values.clean_text(text),
        version=row.version,
        run=row.run,
    )
    log(logging.INFO, "note.added", kind=kind.value, saga_id=saga_id, saga=row.saga_name, source=by.source)
    return event
