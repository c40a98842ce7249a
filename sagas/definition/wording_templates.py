"""Check and parse the templates of the texts that people read.

A placeholder is the name of a context key, such as `{sale_id}`, with an optional format, such as `{amount:money}`.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from .states import CustomerState

STEP_KEYS = (
    *("doing", "done", "in_doubt", "refused"),
    *("compensating", "compensated", "compensation_in_doubt", "not_compensated", "by_hand"),
    *("to_do", "to_compensate"),
    "name",
)
SAGA_KEYS = tuple(state.value for state in CustomerState)
FORMATS = ("money", "datetime", "date", "time")


class Part(NamedTuple):
    """A piece of text from a template, and the placeholder after it. `key` is "" if no placeholder follows."""

    text: str
    key: str
    format: str


def problem_of(wording: Any, keys: Collection[str]) -> str:
    """Return "" if each key of `wording` is one of `keys` and its template is valid.

    Otherwise return the problem, as the end of a sentence.
    """
    if wording is None:
        return ""
    if not isinstance(wording, Mapping):
        return "must be a mapping of keys to templates"
    for key, template in wording.items():
        if key not in keys:
            return f"has the unknown key {key!r}; known keys: {', '.join(keys)}"
        problem = _problem_of_template(template)
        if not problem and key == "name" and any(part.key for part in parse(_untranslated(template) or "")):
            problem = "must not have a placeholder: names are also shown without a context"
        if problem:
            return f"for {key!r} {problem}"
    return ""


def parse(text: str) -> list[Part]:
    """Return the parts of the template, in order.

    Raise ValueError for an invalid template. Its message is the problem, as the end of a sentence.
    """
    parts = []
    for literal, key, form, conversion in string.Formatter().parse(text):
        if key is not None and (conversion or not key.isidentifier()):
            raise ValueError("has a placeholder that is not a plain name; write {key} or {key:format}")
        if form and form not in FORMATS:
            raise ValueError(f"has the unknown format {form!r}; known formats: {', '.join(FORMATS)}")
        parts.append(Part(literal, key or "", form or ""))
    return parts


def _problem_of_template(template: Any) -> str:
    text = _untranslated(template)
    if text is None:
        return "must be a text or a lazy translation without a plural"
    if not text:
        return "must not be empty"
    try:
        parse(text)
    except ValueError as error:
        return f"cannot be parsed, {text!r}: {error}"
    return ""


def _untranslated(template: Any) -> str | None:
    """Return the untranslated text, because translations are not loaded yet when sagas are defined."""
    if isinstance(template, str):
        return template
    # This module must not import Django. If the template is a lazy translation, the caller has imported Django.
    promise = getattr(sys.modules.get("django.utils.functional"), "Promise", ())
    if not isinstance(template, promise):
        return None
    _, (_, arguments, *_) = template.__reduce__()
    message = arguments[-1] if isinstance(arguments, tuple) and arguments else None
    return message if isinstance(message, str) else None
