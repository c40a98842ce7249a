"""Fill the templates in a saga's wording, in the active language and the current time zone."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from babel.numbers import format_currency, get_currency_symbol
from django.utils import formats, timezone
from django.utils.translation import get_language, to_locale

from sagas.conf import get_settings
from sagas.definition import wording_templates
from sagas.definition.wording_templates import Part

from .redactor import Redactor

DATE_FORMATS = {"datetime": "DATETIME_FORMAT", "date": "DATE_FORMAT", "time": "TIME_FORMAT"}
# Control characters that change the direction of text. A value with them could show the text after it backwards.
TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")

Contexts = Sequence[Mapping[str, Any]]


def fill(template: Any, contexts: Contexts, redactor: Redactor) -> str | None:
    """Fill the template with redacted values. Each value comes from the first context that has it.

    Return None if a value is missing or not usable, or if the redactor hides everything.
    """
    if redactor.shows_nothing:
        return None
    try:
        parts = wording_templates.parse(str(template))
        return "".join(part.text + _shown(part, contexts, redactor) for part in parts)
    except (LookupError, ValueError, ArithmeticError):
        return None


def money(value: Any, currency: str) -> str:
    """Format the amount in the active language, such as R$ 1.234,50.

    `value` is anything that Decimal reads; `currency` is a code such as BRL. Raises ValueError or ArithmeticError if
    `value` is no finite number.
    """
    # Use a plain space in every language, because people cannot type a no-break space.
    return format_currency(_finite(value), currency, "¤ #,##0.00", locale=_locale(), currency_digits=False)


def currency_symbol(currency: str) -> str:
    """Return the symbol of the currency in the active language, or its code if it has none."""
    return get_currency_symbol(currency, locale=_locale())


def _locale() -> str:
    return to_locale(get_language() or "en")


def amount(key: str, contexts: Contexts) -> tuple[Decimal, str]:
    """Return the amount under `key` and its currency code; each comes from the first context that has it.

    The currency is the setting CURRENCY if no context names one. Raises LookupError, ValueError or ArithmeticError if
    there is no valid amount.
    """
    return _finite(_value(key, contexts)), _currency(contexts)


def _shown(part: Part, contexts: Contexts, redactor: Redactor) -> str:
    if not part.key:
        return ""
    value = _value(part.key, contexts)
    if part.key in redactor.hidden_keys:
        return f"[{part.key}]"
    if part.format == "money":
        text = money(value, _currency(contexts))
    elif part.format:
        moment = dt.datetime.fromisoformat(str(value))
        # A time without a time zone is in the current time zone.
        local = timezone.localtime(moment) if timezone.is_aware(moment) else timezone.make_aware(moment)
        text = formats.date_format(local, DATE_FORMATS[part.format])
    else:
        text = str(value)
    return TURNS.sub("", redactor(text, *contexts))


def _value(key: str, contexts: Contexts) -> Any:
    """Return the first value under `key` that is a number or a text that is not empty."""
    found = (context.get(key) for context in contexts)
    usable = (value for value in found if isinstance(value, (str, int, float)) and not isinstance(value, bool))
    for value in usable:
        if str(value).strip():
            return value
    raise LookupError(key)


def _finite(value: Any) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"{number} is not an amount")
    return number


def _currency(contexts: Contexts) -> str:
    named = (context["currency"] for context in contexts if context.get("currency"))
    return str(next(named, get_settings().CURRENCY))
