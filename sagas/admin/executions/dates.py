"""The date links of the list. They are computed from the oldest and the newest execution.

Django's own date hierarchy reads the dates of all rows, which takes a second for a million rows.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext

from sagas.models import SagaExecution

PREFIX = "created_at__"
PARTS = (f"{PREFIX}year", f"{PREFIX}month", f"{PREFIX}day")
FORMATS = ("", "YEAR_MONTH_FORMAT", "MONTH_DAY_FORMAT")


@dataclass(frozen=True)
class Choice:
    """A period: its title, and the query parameters that select it."""

    title: str
    parameters: dict[str, int]


@dataclass(frozen=True)
class Level:
    """The periods that can be selected now.

    `above` is the period that contains them, if there is one. `chosen` means that a day is selected.
    """

    choices: list[Choice]
    above: Choice | None
    chosen: bool


def check(parameters: Mapping[str, str]) -> None:
    """Raise IncorrectLookupParameters unless the date parameters are a valid year, month or day, or missing."""
    given = [name in parameters for name in PARTS]
    try:
        chosen = _chosen(parameters)
        first = _first_day(chosen)
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters from error
    # A month needs a year, and a day needs both. The start and end of the period must be valid dates.
    if given != sorted(given, reverse=True) or not 1 < first.year < dt.MAXYEAR - 1:
        raise IncorrectLookupParameters


def level(parameters: Mapping[str, str]) -> Level | None:
    """Return the periods below the selected one. Return None if there are no executions.

    The parameters must have passed `check`.
    """
    # These are two index lookups. MIN and MAX in one query would scan all rows.
    moments = SagaExecution.objects.values_list("created_at", flat=True)
    oldest, newest = moments.order_by("created_at").first(), moments.order_by("-created_at").first()
    if not (oldest and newest):
        return None
    first, last = timezone.localdate(oldest), timezone.localdate(newest)
    chosen = _chosen(parameters)
    if chosen:
        return Level(_below(chosen, first, last), _choice(*chosen[:-1]), len(chosen) == len(PARTS))
    # Start below the year, or the year and month, that all executions share.
    shared: list[int] = []
    if first.year == last.year:
        shared = [first.year, first.month] if first.month == last.month else [first.year]
    return Level(_below(shared, first, last), None, chosen=False)


def _chosen(parameters: Mapping[str, str]) -> list[int]:
    return [int(parameters[name]) for name in PARTS if name in parameters]


def _below(chosen: list[int], first: dt.date, last: dt.date) -> list[Choice]:
    if not chosen:
        return [_choice(year) for year in range(first.year, last.year + 1)]
    if len(chosen) == 1:
        months = [_first_day((*chosen, month)) for month in range(1, 13)]
        ends = first.replace(day=1), last
        return [_choice(day.year, day.month) for day in months if ends[0] <= day <= ends[1]]
    if len(chosen) == len(PARTS):
        return [_choice(*chosen)]
    count = calendar.monthrange(*chosen)[1]
    days = [_first_day((*chosen, day)) for day in range(1, count + 1)]
    return [_choice(day.year, day.month, day.day) for day in days if first <= day <= last]


def _choice(*parts: int) -> Choice:
    """Return the period given by year, month and day, or fewer of these; all dates without any."""
    if not parts:
        return Choice(gettext("All dates"), {})
    day = _first_day(parts)
    form = FORMATS[len(parts) - 1]
    title = capfirst(formats.date_format(day, form)) if form else str(day.year)
    return Choice(title, dict(zip(PARTS, parts, strict=False)))


def _first_day(parts: Sequence[int]) -> dt.date:
    year, month, day = (*parts, *(2000, 1, 1)[len(parts) :])
    return dt.date(year, month, day)
