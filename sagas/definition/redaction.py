"""Takes out of a text what is nobody's business: the values of personal keys, and card numbers.

Whoever quotes a request in an error quotes the customer: as it was given, as part of a URL, of JSON or of HTML, or
a number in other groups of digits.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from . import json_values

SHORTEST = 4
FEWEST_DIGITS = 8
BETWEEN_DIGITS = r"[\s().\-/]{0,2}"


def redact(text: str, keys: Sequence[str], *contexts: Mapping[str, Any]) -> str:
    """The text with each whole value, of four characters or more, that these keys have in one of the contexts
    replaced by its key in brackets; card numbers are replaced by these words."""
    found = {(value, key) for key in keys for context in contexts for value in _texts_in(context.get(key))}
    if found:
        # Without groups: where values are thousands, a pattern that has a group for each takes minutes.
        longest_first = [(_pattern(value), key) for value, key in sorted(found, key=lambda pair: (-len(pair[0]), pair))]
        patterns = re.compile("|".join(pattern for pattern, _ in longest_first), re.IGNORECASE)
        text = patterns.sub(lambda match: f"[{_key_of(match.group(), longest_first)}]", text)
    return json_values.without_card_numbers(text)


def redacted(value: Any, keys: Sequence[str], *contexts: Mapping[str, Any]) -> Any:
    """The same for a JSON value: each text in it, and in place of what a personal key maps to its key in brackets."""
    if isinstance(value, str):
        return redact(value, keys, *contexts)
    if isinstance(value, Mapping):
        return {key: f"[{key}]" if key in keys else redacted(inner, keys, *contexts) for key, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner, keys, *contexts) for inner in value]
    return value


def _texts_in(value: Any) -> Iterator[str]:
    """All texts and numbers in a value, however deep; a failed attempt may have left anything there."""
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


def _key_of(said: str, patterns: Sequence[tuple[str, str]]) -> str:
    """The key of the first pattern that this is said by."""
    by_key: dict[str, list[str]] = {}
    for pattern, key in patterns:
        by_key.setdefault(key, []).append(pattern)
    return next(key for key, its in by_key.items() if re.fullmatch("|".join(its), said, re.IGNORECASE))


def _pattern(value: str) -> str:
    """A regular expression without groups for the value in each of its forms."""
    forms = {value, quote(value), quote(value, safe=""), quote_plus(value), html.escape(value), json.dumps(value)[1:-1]}
    patterns = [_escaped(form) for form in sorted(forms, key=len, reverse=True)]
    digits = [sign for sign in value if sign.isdecimal()]
    if len(digits) >= FEWEST_DIGITS and not any(sign.isalpha() for sign in value):
        patterns.append(r"\+?" + BETWEEN_DIGITS.join(digits))
    return "|".join(patterns)


def _escaped(form: str) -> str:
    """What is quoted within something quoted has gathered backslashes."""
    pattern = re.escape(form).replace(r"\\", r"\\+")
    return re.sub("[\"']", lambda sign: rf"\\*{sign.group()}", pattern)
