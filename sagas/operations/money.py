"""A sum of money that an act would move, and whether somebody has typed just that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.utils import formats, translation

from sagas.definition.saga import SagaStep
from sagas.presentation import templates


def total_of(steps: Sequence[SagaStep], contexts: templates.Contexts, hidden: Sequence[str] = ()) -> Amount | None:
    """What these steps move together; None where that is nothing, cannot be read, or is under a hidden key."""
    keys = [step.money for step in steps if step.money]
    if not keys or set(keys) & set(hidden):
        return None
    try:
        amounts = [templates.amount(key, contexts) for key in keys]
    except (LookupError, ValueError, ArithmeticError):
        return None
    return Amount(sum((amount for amount, _ in amounts), Decimal(0)), amounts[0][1])


@dataclass(frozen=True)
class HiddenAmount:
    """A sum that is not known, or not to this reader, of the execution with this id; who means it types the id."""

    saga_id: str

    def __str__(self) -> str:
        return self.saga_id

    def matches(self, typed: str) -> bool:
        """Whether this is the id."""
        return typed.strip() == self.saga_id


@dataclass(frozen=True)
class Amount:
    """An amount in a currency; its text is what people read."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return templates.money(self.amount, self.currency)

    def matches(self, typed: str) -> bool:
        """Whether this is the sum as any of the site's languages writes it, with its currency or without."""
        bare = "".join(typed.split()).upper()
        for sign in (templates.SYMBOLS.get(self.currency, ""), self.currency):
            bare = bare.removeprefix(sign.upper()).removesuffix(sign.upper())
        return bare in set(self._written())

    def _written(self) -> Iterator[str]:
        for language, _ in settings.LANGUAGES:
            with translation.override(language):
                for grouped in (True, False):
                    number = formats.number_format(self.amount, 2, force_grouping=grouped)
                    yield "".join(str(number).split())
