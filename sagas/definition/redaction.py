"""Redact texts: replace card numbers and the values of personal keys.

An error message may quote a request and so contain the customer's data. The data may appear unchanged, encoded for a
URL, JSON or HTML, or, if it is a number, with its digits in different groups.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from .card_numbers import redact_card_numbers

SHORTEST = 4
FEWEST_DIGITS = 8
BETWEEN_DIGITS = r"[\s().\-/]{0,2}"


def redact(text: str, keys: Sequence[str], *contexts: Mapping[str, Any]) -> str:
    """Replace card numbers, and each value of a personal key in `keys` by the key in brackets.

    The values come from all `contexts`. Values shorter than SHORTEST characters are not replaced.
    """
    found = {(value, key) for key in keys for context in contexts for value in _texts_in(context.get(key))}
    if found:
        # The patterns have no groups, because a group for each of thousands of values would take minutes.
        longest_first = [(_pattern(value), key) for value, key in sorted(found, key=lambda pair: (-len(pair[0]), pair))]
        by_key: dict[str, list[str]] = {}
        for pattern, key in longest_first:
            by_key.setdefault(key, []).append(pattern)

        def key_in_brackets(match: re.Match[str]) -> str:
            found = match.group()
            key = next(key for key, its in by_key.items() if re.fullmatch("|".join(its), found, re.IGNORECASE))
            return f"[{key}]"

        patterns = "|".join(pattern for pattern, _ in longest_first)
        text = re.sub(patterns, key_in_brackets, text, flags=re.IGNORECASE)
    return redact_card_numbers(text)


def redacted(value: Any, keys: Sequence[str], *contexts: Mapping[str, Any]) -> Any:
    """Redact all texts in a JSON value, and replace the value of each personal key by the key in brackets."""
    if isinstance(value, str):
        return redact(value, keys, *contexts)
    if isinstance(value, Mapping):
        return {key: f"[{key}]" if key in keys else redacted(inner, keys, *contexts) for key, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner, keys, *contexts) for inner in value]
    return value


def _texts_in(value: Any) -> Iterator[str]:
    """Yield all texts and numbers in a value. The value may contain cycles, which a failed attempt has left."""
    waiting, seen = [value], set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, (str, int, float)) and not isinstance(part, bool):
            text = str(part).strip()
            if len(text) >= SHORTEST:
                yield text
        elif isinstance(part, (Mapping, list, tuple)) and id(part) not in seen:
            seen.add(id(part))
            waiting += part.values() if isinstance(part, Mapping) else part


def _pattern(value: str) -> str:
    """Return a regular expression without groups that matches the value in each of its encodings."""
    forms = {value, quote(value), quote(value, safe=""), quote_plus(value), html.escape(value), json.dumps(value)[1:-1]}
    patterns = []
    for form in sorted(forms, key=len, reverse=True):
        # Allow for the extra backslashes of nested quoting.
        pattern = re.escape(form).replace(r"\\", r"\\+")
        patterns.append(re.sub("[\"']", lambda sign: rf"\\*{sign.group()}", pattern))
    digits = [sign for sign in value if sign.isdecimal()]
    if len(digits) >= FEWEST_DIGITS and not any(sign.isalpha() for sign in value):
        patterns.append(r"\+?" + BETWEEN_DIGITS.join(digits))
    return "|".join(patterns)
