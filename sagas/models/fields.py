"""Columns of our own: a state that stays a state, and JSON that stays what it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import models

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.states import SagaState

if TYPE_CHECKING:
    _CharField = models.CharField[Any, SagaState]
    _TextField = models.TextField[Any, Any]
else:
    _CharField, _TextField = models.CharField, models.TextField


class StateField(_CharField):
    """A SagaState, also after a load; filters accept a member or its value."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("max_length", 24)
        super().__init__(*args, **options)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> SagaState | None:
        """The member that a stored value names; UnreadableRow where it names none."""
        try:
            return None if value is None else SagaState(value)
        except ValueError as error:
            raise UnreadableRow(self.name, str(error)) from error

    def to_python(self, value: Any) -> SagaState | None:
        """The member for a member or its value."""
        return None if value is None else SagaState(value)

    def get_prep_value(self, value: Any) -> str | None:
        """The text to store; a value that is no state is a ValueError."""
        return None if value is None else SagaState(value).value

    def deconstruct(self) -> Any:
        """Migrations need no max_length."""
        name, path, args, options = super().deconstruct()
        options.pop("max_length", None)
        return name, path, args, options


class JSONTextField(_TextField):
    """JSON kept as text, on every database the same.

    PostgreSQL's jsonb would turn 1e300 into an integer that is not equal to it, and forget the order of keys.
    """

    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        """The value that the stored text stands for; UnreadableRow where it is no JSON, or another kind of it."""
        if value is None:
            return None
        try:
            loaded = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise UnreadableRow(self.name, str(error)) from error
        kind = self.default
        if isinstance(kind, type) and issubclass(kind, (dict, list)) and not isinstance(loaded, kind):
            raise UnreadableRow(self.name, f"it must be a {kind.__name__}, not a {type(loaded).__name__}")
        return loaded

    def get_prep_value(self, value: Any) -> str | None:
        """The text to store."""
        return None if value is None else dumps(value)

    def value_to_string(self, obj: models.Model) -> str:
        """What a fixture carries."""
        return dumps(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """The value itself; a text from a fixture is parsed."""
        return json.loads(value) if isinstance(value, str) else value


def dumps(value: Any) -> str:
    """Compact JSON text of a value that is JSON already."""
    return _encoder.encode(value)


# json.dumps makes an encoder for each call that is not by its defaults, and a checkpoint makes four.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
