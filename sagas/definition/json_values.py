"""Convert context values to canonical JSON for storage. Refuse values that cannot be stored, and name their keys."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

from .exceptions import InvalidInput

MAX_DEPTH = 32
MAX_INTEGER_BITS = 4096
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# "." and ".." are not allowed, because an id is a part of URLs and clients remove such parts.
SAGA_ID = re.compile(r"\A(?!\.{1,2}\Z)[A-Za-z0-9._:~-]{1,150}\Z")
SECRET_KEYS = frozenset({"password", "secret", "cvv", "card_number"})
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def to_json(value: Mapping[str, Any], *, limit: int) -> str:
    """Return the canonical JSON text of a context. Raise InvalidInput, which names the key that cannot be stored.

    `limit` is in bytes of UTF-8. Decimals, UUIDs and dates become strings, enum members become their values, and tuples
    become lists. The keys in SECRET_KEYS are refused.
    """
    text = _encoder.encode(_plain(value, "", 0))
    size = len(text.encode())
    if size > limit:
        largest = max(value, key=lambda key: len(repr(value[key])), default="")
        raise InvalidInput({largest: f"the context is {size} bytes, more than MAX_CONTEXT_BYTES ({limit})"})
    return text


def is_id(given: Any) -> bool:
    """Return whether `given` is a valid id of an execution."""
    return isinstance(given, str) and SAGA_ID.match(given) is not None


def hash_of(text: str) -> str:
    """Return the SHA-256 of a JSON text with its keys sorted, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(json.loads(text), sort_keys=True).encode()).hexdigest()


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes from `old` to `new`: {"set": {key: value}, "deleted": [key]}. Leave out an empty part."""
    # Compare with repr, because True, 1 and 1.0 are equal in Python but different in JSON.
    changed = {key: value for key, value in new.items() if key not in old or repr(old[key]) != repr(value)}
    deleted = [key for key in old if key not in new]
    return {name: part for name, part in (("set", changed), ("deleted", deleted)) if part}


def apply_changes(context: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the context with changes from `changes_between` applied."""
    kept = {key: value for key, value in context.items() if key not in changes.get("deleted", ())}
    return kept | dict(changes.get("set", {}))


def clean_text(text: str, limit: int = 2000) -> str:
    """Return the text without NULs and lone surrogates, cut to `limit` characters, so that a database can store it."""
    storable = text.isascii() and "\x00" not in text
    return (text if storable else UNSTORABLE.sub("\ufffd", text))[:limit]


def _plain(value: Any, path: str, depth: int) -> Any:
    """Convert the value at `path`, and all values inside it, to JSON values."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str) or not isinstance(value, (Mapping, list, tuple)):
        return _plain_scalar(value, path)
    if depth == MAX_DEPTH:
        raise InvalidInput({path: f"is nested deeper than {MAX_DEPTH} levels"})
    if not isinstance(value, Mapping):
        return [_plain(item, _join(path, index), depth + 1) for index, item in enumerate(value)]
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidInput({path: f"has a key that is not a string: {clean_text(repr(key), 80)}"})
        place = _join(path, key)
        if key.lower() in SECRET_KEYS:
            raise InvalidInput({place: "secrets do not belong in a context; pass a token or a reference"})
        plain[_plain_text(str(key), place)] = _plain(item, place, depth + 1)
    return plain


def _plain_scalar(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) or type(value).__name__ == "__proxy__":  # a lazy translation
        return _plain_text(str(value), path)
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise InvalidInput({path: f"is an integer of more than {MAX_INTEGER_BITS} bits"})
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput({path: f"is {float(value)}, which JSON cannot hold"})
        return float(value)
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    raise InvalidInput({path: f"is a {type(value).__name__}, which JSON cannot hold"})


def _plain_text(text: str, path: str) -> str:
    if text.isascii() and "\x00" not in text:
        return text
    unstorable = UNSTORABLE.search(text)
    if unstorable:
        found = "a NUL character" if unstorable.group() == "\x00" else "a lone surrogate"
        raise InvalidInput({path: f"contains {found}, which cannot be stored"})
    return text


def _join(path: str, key: Any) -> str:
    name = clean_text(str(key), 80)
    return f"{path}.{name}" if path else name
