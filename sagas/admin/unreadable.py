"""Rows of which a column holds what cannot be read: its JSON comes as text, and what is none is taken to be empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import ExpressionWrapper, F, Model, QuerySet, TextField

from sagas.definition.exceptions import UnreadableRow

Row = TypeVar("Row", bound=Model)

OF_EXECUTIONS = ("input", "context", "plan", "steps_completed")


def as_texts(rows: QuerySet[Row], columns: Iterable[str]) -> QuerySet[Row]:
    """The same rows, with these columns as text, so that one that cannot be read does not take the others with it."""
    texts = {f"{name}_text": ExpressionWrapper(F(name), output_field=TextField()) for name in columns}
    found: QuerySet[Row] = rows.defer(*columns).annotate(**texts)
    return found


def mended(row: Row, columns: Iterable[str]) -> Row:
    """The row of `as_texts` with the values of these columns; the names of those that cannot be read in `unreadable`,
    and empty values in them."""
    row.unreadable = tuple(name for name in columns if not _was_read(row, name))  # type: ignore[attr-defined]
    return row


def _was_read(row: Model, name: str) -> bool:
    field: Any = row._meta.get_field(name)
    try:
        setattr(row, name, field.from_db_value(getattr(row, f"{name}_text"), None, None))
    except UnreadableRow:
        setattr(row, name, field.get_default())
        return False
    return True
