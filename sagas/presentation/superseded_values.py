"""Load the input values that corrections replaced, because older texts may still quote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from sagas.definition.exceptions import UnreadableRow
from sagas.models import SagaEvent
from sagas.storage import database

Inputs = tuple[Mapping[str, Any], ...]


def load_superseded(pks: Iterable[int]) -> dict[int, Inputs | None]:
    """Load the values that corrections replaced, in one query. Return them by the execution's primary key.

    The value is None if a correction of that execution cannot be read.
    """
    texts: dict[int, list[str]] = {pk: [] for pk in pks}
    corrections = SagaEvent.objects.using(database.alias()).filter(kind=SagaEvent.Kind.CORRECT, execution__in=texts)
    for pk, text in corrections.values_list("execution_id", Cast("data", TextField())):
        texts[pk].append(text)
    field: Any = SagaEvent._meta.get_field("data")
    found: dict[int, Inputs | None] = {}
    for pk, own in texts.items():
        try:
            found[pk] = _replaced(field.from_db_value(text, None, None) for text in own)
        except UnreadableRow:
            found[pk] = None
    return found


def superseded_in(events: Iterable[SagaEvent]) -> Inputs:
    """Return the input values that the corrections among these events replaced.

    One mapping for each correction, from key to old value.
    """
    return _replaced(event.data for event in events)


def _replaced(data_of_events: Iterable[Mapping[str, Any]]) -> Inputs:
    return tuple(data["former"].get("set", {}) for data in data_of_events if "former" in data)
