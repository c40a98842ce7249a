"""The amount that an operation moves, and the check of the amount that a user types as confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.utils import formats, translation

from sagas.definition.saga import SagaStep
from sagas.presentation import templates


@dataclass(frozen=True)
class Amount:
    """An amount in a currency. `str()` returns the localized text."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return templates.money(self.amount, self.currency)

    def matches(self, typed: str) -> bool:
        """Return whether `typed` is this amount, in the format of any site language, with or without the currency."""
        bare = "".join(typed.split()).upper()
        for sign in (templates.currency_symbol(self.currency), self.currency):
            bare = bare.removeprefix(sign.upper()).removesuffix(sign.upper())
        for language, _ in settings.LANGUAGES:
            with translation.override(language):
                numbers = [formats.number_format(self.amount, 2, force_grouping=grouped) for grouped in (True, False)]
            if any(bare == "".join(str(number).split()) for number in numbers):
                return True
        return False


@dataclass(frozen=True)
class HiddenAmount:
    """An amount that is unreadable or hidden from the reader. The reader types the execution's id as confirmation."""

    saga_id: str

    def __str__(self) -> str:
        return self.saga_id

    def matches(self, typed: str) -> bool:
        """Return whether `typed` is the id of the execution."""
        return typed.strip() == self.saga_id


def total_of(steps: Sequence[SagaStep], contexts: templates.Contexts, hidden: Sequence[str] = ()) -> Amount | None:
    """Return the total amount of the steps. Return None if no step has money, or an amount is unreadable or hidden."""
    keys = [step.money for step in steps if step.money]
    if not keys or set(keys) & set(hidden):
        return None
    try:
        amounts = [templates.amount(key, contexts) for key in keys]
    except (LookupError, ValueError, ArithmeticError):
        return None
    return Amount(sum((amount for amount, _ in amounts), Decimal(0)), amounts[0][1])
