"""Templates of what people read: which placeholders they may have, and what is wrong with one that cannot be filled.

A placeholder is the plain name of a context key, `{sale_id}`, with a format where one is needed: `{amount:money}`.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from .states import CustomerState

OF_A_STEP = (
    *("doing", "done", "in_doubt", "refused"),
    *("compensating", "compensated", "compensation_in_doubt", "not_compensated", "by_hand"),
    *("to_do", "to_compensate"),
    "name",
)
OF_A_SAGA = tuple(state.value for state in CustomerState)
FORMATS = ("money", "datetime", "date", "time")


class Part(NamedTuple):
    """Text of a template and the placeholder behind it; `key` is "" where the template ends with text."""

    text: str
    key: str
    format: str


def fault_in(wording: Any, situations: Collection[str]) -> str:
    """What `wording` must be and is not, as a clause; "" when it maps these situations to templates."""
    if wording is None:
        return ""
    if not isinstance(wording, Mapping):
        return "must map situations to templates"
    for situation, template in wording.items():
        if situation not in situations:
            return f"has no situation {situation!r}; it knows {', '.join(situations)}"
        fault = _fault_of(template) or (_fault_of_name(template) if situation == "name" else "")
        if fault:
            return f"for {situation!r} {fault}"
    return ""


def parse(text: str) -> list[Part]:
    """The template's parts in order; ValueError says in a clause what is wrong with it."""
    parts = []
    for literal, key, form, conversion in string.Formatter().parse(text):
        if key is not None and (conversion or not key.isidentifier()):
            raise ValueError("has a placeholder that is no plain name; write {key} or {key:format}")
        if form and form not in FORMATS:
            raise ValueError(f"has the unknown format {form!r}; there are {', '.join(FORMATS)}")
        parts.append(Part(literal, key or "", form or ""))
    return parts


def _fault_of(template: Any) -> str:
    text = _untranslated(template)
    if text is None:
        return "must be a text or a lazy translation of one, without a plural"
    if not text:
        return "must not be empty"
    try:
        parse(text)
    except ValueError as error:
        return f"cannot be filled, {text!r}: {error}"
    return ""


def _fault_of_name(template: Any) -> str:
    placeholders = [part for part in parse(_untranslated(template) or "") if part.key]
    return "must have no placeholder: a step is also named without a context" if placeholders else ""


def _untranslated(template: Any) -> str | None:
    """The text as it stands in the code: translations are not there yet when sagas are defined."""
    if isinstance(template, str):
        return template
    # Whoever has a lazy translation has imported Django; this module must not.
    promise = getattr(sys.modules.get("django.utils.functional"), "Promise", ())
    if not isinstance(template, promise):
        return None
    _, (_, arguments, *_) = template.__reduce__()
    message = arguments[-1] if isinstance(arguments, tuple) and arguments else None
    return message if isinstance(message, str) else None
