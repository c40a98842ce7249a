"""Find card numbers, to refuse them in input and redact them in texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stdnum import luhn

from .exceptions import InvalidInput

ISSUED = re.compile(r"(?:4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12})")
GROUPS = r"\d{3}[ -]?(?:\d{4}[ -]?\d{4}[ -]?\d{4}|\d{6}[ -]?\d{5})"
# Both patterns match the first digit before the lookbehind, so that texts without digits are scanned fast.
# AS_WORD is for input. It finds a number that is the whole text or a word of a sentence, but no part of a URL, because
# a long number in a URL is an id.
AS_WORD = re.compile(rf"[2-6](?<![^\s\"'(:,;].){GROUPS}(?![^\s\"'):,;.!?])")
ANYWHERE = re.compile(rf"[2-6](?<!\d.){GROUPS}(?!\d)")


def refuse_card_numbers(value: Any) -> None:
    """Raise InvalidInput if a JSON value contains a card number. The errors of the exception name the keys."""
    found = dict.fromkeys(_paths(value, ""), "looks like a card number; pass a token or a reference")
    if found:
        raise InvalidInput(found)


def redact_card_numbers(text: str) -> str:
    """Replace each card number in the text by "[card number]"."""
    return ANYWHERE.sub(lambda match: "[card number]" if _is_card_number(match.group()) else match.group(), text)


def _paths(value: Any, path: str) -> Iterator[str]:
    """Yield the dotted path of each card number in a JSON value."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (str, int)) and any(map(_is_card_number, AS_WORD.findall(str(value)))):
        yield path


def _is_card_number(text: str) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    return ISSUED.fullmatch(digits) is not None and luhn.is_valid(digits)
