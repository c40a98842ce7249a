"""Parse the arguments of commands: contexts, numbers, texts."""

from __future__ import annotations

import argparse
import getpass
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagas.definition.exceptions import InvalidInput
from sagas.operations import Actor

OBJECT = 'a JSON object, like \'{"sale_id": "S-1"}\''


def context_from(given: str, option: str = "--context") -> dict[str, Any]:
    """Parse a JSON object from text, from @file, or from stdin (-). Raise InvalidInput if it is not a JSON object."""
    text = _text_of(given, option)
    try:
        parsed = json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise InvalidInput({option: "is nested too deeply."}) from None
    except ValueError as error:
        raise InvalidInput({option: f"is not JSON: {error}."}) from error
    if not isinstance(parsed, Mapping):
        kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
        raise InvalidInput({option: f"must be {OBJECT}, not {kinds.get(type(parsed), 'a number')}."})
    return dict(parsed)


def seconds(text: str) -> float:
    """Parse a number of seconds, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text!r}")
    return number


def sentence(text: str) -> str:
    """Parse a text that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()


def operator() -> Actor:
    """Return the actor: the user of the operating system who runs the command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        name = f"uid {os.getuid()}"
    return Actor(name=name, source="cli")


def _text_of(given: str, option: str) -> str:
    if given != "-" and not given.startswith("@"):
        return given
    source = "standard input" if given == "-" else repr(given[1:])
    try:
        raw = sys.stdin.buffer.read() if given == "-" else Path(given[1:]).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput({option: f"cannot be read from {source}: it is not UTF-8 text."}) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput({option: f"cannot be read from {source}: {reason}."}) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raise ValueError for a duplicate key, because the JSON parser would keep only the last value."""
    names = [name for name, _ in pairs]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise ValueError(f"it has the key {duplicate!r} twice")
    return dict(pairs)
