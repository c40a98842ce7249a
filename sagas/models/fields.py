"""Model fields for states and for JSON stored as text, and time-ordered ids."""

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
    """A SagaState, also after loading; filters accept a member or its value."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> SagaState | None:
        """Return the member of a stored value; UnreadableRow if there is none."""
        try:
            return None if value is None else SagaState(value)
        except ValueError as error:
            raise UnreadableRow(self.name, str(error)) from error

    def to_python(self, value: Any) -> SagaState | None:
        """Return the member for a member or its value."""
        return None if value is None else SagaState(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Return the text to store; ValueError if the value is not a state."""
        return None if value is None else SagaState(value).value


class JSONTextField(_TextField):
    """JSON stored as text, the same on every database.

    PostgreSQL's jsonb turns 1e300 into an unequal integer and loses the order of keys.
    """

    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        """Return the value of the stored JSON; UnreadableRow if it is not JSON of the right kind."""
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
        """Return the text for a fixture."""
        return dumps(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """Return the value; parse a text from a fixture."""
        return json.loads(value) if isinstance(value, str) else value


def dumps(value: Any) -> str:
    """Return the compact JSON text of a JSON value."""
    return _encoder.encode(value)


# Shared, because json.dumps with options creates an encoder for each call.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def time_ordered_uuid() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562): later ids sort after earlier ones, so an index grows at its end."""
    millis = time.time_ns() // 1_000_000
    high, low = _random.getrandbits(12), _random.getrandbits(62)
    return uuid.UUID(int=(millis << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


def first_uuid_at(moment: dt.datetime) -> uuid.UUID:
    """Return the least id of that moment: rows since then are a range of the primary key."""
    return uuid.UUID(int=math.floor(moment.timestamp() * 1000) << 80)


# A separate generator, because tests may seed the global one. It is seeded once, because os.urandom for each id would
# cost more than the rest of the id.
_random = random.Random()  # noqa: S311  (ids must be unique, not secret)
os.register_at_fork(after_in_child=_random.seed)
