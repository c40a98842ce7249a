"""What people have corrected of an input, as it was: what was reported or written before may quote it still.

It is for masking alone. An execution keeps what was read of it, for as long as its row stays at that version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from sagas.definition.exceptions import UnreadableRow
from sagas.models import SagaEvent, SagaExecution
from sagas.storage import database

Inputs = tuple[Mapping[str, Any], ...]


def former_inputs(execution: SagaExecution) -> Inputs | None:
    """The values that each correction has replaced, by their keys; None where one of them cannot be read."""
    kept = execution.former_inputs
    if kept is None or kept[0] != execution.version:
        return read_former_inputs([execution])[execution.pk]
    return kept[1]


def read_former_inputs(executions: Iterable[SagaExecution]) -> dict[int, Inputs | None]:
    """The same of many, by their primary keys, in one query; one that cannot be read costs the others nothing."""
    by_pk = {execution.pk: execution for execution in executions}
    corrections = SagaEvent.objects.using(database.alias()).filter(kind=SagaEvent.Kind.CORRECT, execution__in=by_pk)
    texts: dict[int, list[str]] = {pk: [] for pk in by_pk}
    for pk, text in corrections.values_list("execution_id", Cast("data", TextField())):
        texts[pk].append(text)
    return {pk: _keep(execution, _loaded(texts[pk])) for pk, execution in by_pk.items()}


def take_former_inputs(execution: SagaExecution, events: Iterable[SagaEvent]) -> None:
    """They are known from its events, which are at hand."""
    _keep(execution, _replaced(event.data for event in events))


def add_former_input(execution: SagaExecution, given: Mapping[str, Any]) -> None:
    """It is told of as if its input had been corrected, from this one."""
    known = former_inputs(execution)
    _keep(execution, None if known is None else (*known, given))


def _keep(execution: SagaExecution, inputs: Inputs | None) -> Inputs | None:
    execution.former_inputs = execution.version, inputs
    return inputs


def _loaded(texts: Iterable[str]) -> Inputs | None:
    field: Any = SagaEvent._meta.get_field("data")
    try:
        return _replaced(field.from_db_value(text, None, None) for text in texts)
    except UnreadableRow:
        return None


def _replaced(told: Iterable[Mapping[str, Any]]) -> Inputs:
    return tuple(data["former"].get("set", {}) for data in told if "former" in data)
