"""Pictures of the last day's numbers: where each bar stands, which the template draws; the words say the same."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise

from django.utils import formats, timezone
from django.utils.translation import gettext

from sagas.definition.states import TERMINAL, SagaState
from sagas.monitoring.stats import BOUNDS, FAILED, Day

HOURS = 25  # the first and the last are parts of one
WIDTH, HEIGHT, GAP = 600, 120, 4
SHORT, LONG = 10.0, 120.0  # seconds


@dataclass(frozen=True)
class Bar:
    """A rectangle of what is called `kind`."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Row:
    """A line of the table beside a picture, what it is of and its numbers; or with bars of its own."""

    label: str
    numbers: tuple[int, ...]
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A picture, what it says in a sentence, and its table."""

    says: str
    bars: list[Bar]
    rows: list[Row]


def success(day: Day) -> Chart:
    """One bar, as long as all that has ended."""
    good, total = day.count(SagaState.SUCCEEDED), day.count(*TERMINAL)
    width = round(good / total * WIDTH, 1) if total else 0.0
    words = gettext("%(rate)s %% succeeded: %(good)s of %(total)s.")
    rate = formats.number_format((day.success_rate or 0.0) * 100, 1)
    bars = [Bar(0, 0, width, HEIGHT, "good"), Bar(width, 0, WIDTH - width, HEIGHT, "bad")]
    return Chart(words % {"rate": rate, "good": number(good), "total": number(total)}, bars, [])


def throughput(day: Day) -> Chart:
    """A bar for each hour, what failed upon what succeeded."""
    first = timezone.localtime(day.since).replace(minute=0, second=0, microsecond=0)
    rows = []
    for hour in (first + dt.timedelta(hours=place) for place in range(HOURS)):
        states = day.hours.get(hour, {})
        numbers = (states.get(SagaState.SUCCEEDED, 0), sum(states.get(state, 0) for state in FAILED))
        rows.append(Row(formats.date_format(hour, "SHORT_DATETIME_FORMAT"), numbers))
    most = max(sum(row.numbers) for row in rows)
    words = gettext("From %(first)s to %(last)s, at most %(most)s in an hour.")
    return Chart(words % {"first": rows[0].label, "last": rows[-1].label, "most": number(most)}, _stacked(rows), rows)


def durations(day: Day) -> Chart:
    """A line for each span of time, each with a bar."""
    most = max(day.took) or 1
    bars = (Bar(0, 0, round(count / most * WIDTH, 1), HEIGHT, "plain") for count in day.took)
    rows = [Row(label, (count,), (bar,)) for label, count, bar in zip(_spans(), day.took, bars, strict=True)]
    words = gettext("Half of them took at most %(half)s, 95 %% at most %(most)s.")
    return Chart(words % {"half": seconds(day.p50), "most": seconds(day.p95)}, [], rows)


def seconds(value: float) -> str:
    """A duration as people write it: 250 ms, 1.5 s, 42 s, 7 min."""
    if value >= LONG:
        return gettext("%(number)s min") % {"number": number(round(value / 60))}
    if value < 1:
        return gettext("%(number)s ms") % {"number": number(round(value * 1000))}
    shown = f"{value:.1f}".removesuffix(".0") if value < SHORT else f"{value:.0f}"
    return gettext("%(number)s s") % {"number": formats.number_format(shown)}


def number(value: int) -> str:
    """A number as people write it."""
    return formats.number_format(value, force_grouping=True)


def _spans() -> list[str]:
    between = gettext("%(low)s to %(high)s")
    return [
        gettext("less than %(time)s") % {"time": seconds(BOUNDS[0])},
        *(between % {"low": seconds(low), "high": seconds(high)} for low, high in pairwise(BOUNDS)),
        gettext("%(time)s or more") % {"time": seconds(BOUNDS[-1])},
    ]


def _stacked(rows: list[Row]) -> list[Bar]:
    """A bar for each row, its numbers one upon the other."""
    most = max(sum(row.numbers) for row in rows) or 1
    step = WIDTH / len(rows)
    bars = []
    for place, row in enumerate(rows):
        top = float(HEIGHT)
        for kind, value in zip(("good", "bad"), row.numbers, strict=True):
            height = round(value / most * HEIGHT, 1)
            top -= height
            bars.append(Bar(round(place * step, 1), round(top, 1), round(step - GAP, 1), height, kind))
    return bars
