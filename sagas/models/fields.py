"""Model fields for states and for JSON that is stored as text, and functions for time-ordered ids."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import random
import time
import uuid
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
    """A field whose Python value is a SagaState. Filters accept a member or its value."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> SagaState | None:
        """Return the member for a stored value. Raise UnreadableRow if there is none."""
        try:
            return None if value is None else SagaState(value)
        except ValueError as error:
            raise UnreadableRow(self.name, str(error)) from error

    def to_python(self, value: Any) -> SagaState | None:
        """Return the member for a member or its value."""
        return None if value is None else SagaState(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Return the text to store. Raise ValueError if the value is not a state."""
        return None if value is None else SagaState(value).value


class JSONTextField(_TextField):
    """A field that stores JSON as the same text on every database.

    PostgreSQL's jsonb is not suitable, because it changes 1e300 to a different integer and loses the order of keys.
    """

    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        """Return the value of the stored JSON. Raise UnreadableRow if it is not JSON of the expected type."""
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
        """Return the text to store."""
        return None if value is None else dumps(value)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the text that Django writes to a fixture."""
        return dumps(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """Return the value. Parse a text, because fixtures contain the JSON as text."""
        return json.loads(value) if isinstance(value, str) else value


def dumps(value: Any) -> str:
    """Return the compact JSON text of a JSON value."""
    return _encoder.encode(value)


# One shared encoder, because json.dumps with options creates a new encoder for each call.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def time_ordered_uuid() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562). Later ids sort after earlier ids, so an index grows only at its end."""
    millis = time.time_ns() // 1_000_000
    high, low = _random.getrandbits(12), _random.getrandbits(62)
    return uuid.UUID(int=(millis << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


def first_uuid_at(moment: dt.datetime) -> uuid.UUID:
    """Return the smallest id of that moment, so that a query can select later rows by their primary key."""
    return uuid.UUID(int=math.floor(moment.timestamp() * 1000) << 80)


# A separate generator, because tests may seed the global one. It does not call os.urandom for each id, because that
# would take longer than the rest of the work.
_random = random.Random()  # noqa: S311  (ids must be unique, not secret)
os.register_at_fork(after_in_child=_random.seed)
