"""Charts of the last 24 hours: coordinates of bars for the template, and the same numbers as text."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise

from django.utils import formats, timezone
from django.utils.translation import gettext

from sagas.definition.states import TERMINAL, SagaState
from sagas.monitoring.stats import BOUNDS, FAILED, Day

HOURS = 25  # the first and the last hour are incomplete
WIDTH, HEIGHT, GAP = 600, 120, 4
SHORT, LONG = 10.0, 120.0  # seconds


@dataclass(frozen=True)
class Bar:
    """A rectangle, in the units of the SVG. `kind` is its CSS class: good, bad or plain."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Row:
    """A row of a chart's table. `bars` is used if the chart is drawn inside the table."""

    label: str
    numbers: tuple[int, ...]
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart: the sentence that sums it up, its bars, and the rows of its table."""

    summary: str
    bars: list[Bar]
    rows: list[Row]


def success(day: Day) -> Chart:
    """Return the share of ended executions that succeeded, as one bar of two parts and no rows."""
    good, total = day.count(SagaState.SUCCEEDED), day.count(*TERMINAL)
    width = round(good / total * WIDTH, 1) if total else 0.0
    summary = gettext("%(rate)s %% succeeded: %(good)s of %(total)s.")
    rate = formats.number_format((day.success_rate or 0.0) * 100, 1)
    bars = [Bar(0, 0, width, HEIGHT, "good"), Bar(width, 0, WIDTH - width, HEIGHT, "bad")]
    return Chart(summary % {"rate": rate, "good": number(good), "total": number(total)}, bars, [])


def throughput(day: Day) -> Chart:
    """Return a bar and a row for each hour: succeeded below, failed or partially compensated above."""
    first = timezone.localtime(day.since).replace(minute=0, second=0, microsecond=0)
    rows = []
    for hour in (first + dt.timedelta(hours=place) for place in range(HOURS)):
        states = day.hours.get(hour, {})
        numbers = (states.get(SagaState.SUCCEEDED, 0), sum(states.get(state, 0) for state in FAILED))
        rows.append(Row(formats.date_format(hour, "SHORT_DATETIME_FORMAT"), numbers))
    most = max(sum(row.numbers) for row in rows)
    summary = gettext("From %(first)s to %(last)s, peak %(most)s per hour.")
    return Chart(summary % {"first": rows[0].label, "last": rows[-1].label, "most": number(most)}, _stacked(rows), rows)


def durations(day: Day) -> Chart:
    """Return a row with a bar for each range of durations, and the median and p95 as the summary."""
    most = max(day.took) or 1
    bars = (Bar(0, 0, round(count / most * WIDTH, 1), HEIGHT, "plain") for count in day.took)
    rows = [Row(label, (count,), (bar,)) for label, count, bar in zip(_spans(), day.took, bars, strict=True)]
    summary = gettext("p50: %(half)s, p95: %(most)s.")
    return Chart(summary % {"half": seconds(day.p50), "most": seconds(day.p95)}, [], rows)


def seconds(value: float) -> str:
    """Format a duration in seconds, such as 250 ms, 1.5 s, 42 s or 7 min, in the active language."""
    if value >= LONG:
        return gettext("%(number)s min") % {"number": number(round(value / 60))}
    if value < 1:
        return gettext("%(number)s ms") % {"number": number(round(value * 1000))}
    shown = f"{value:.1f}".removesuffix(".0") if value < SHORT else f"{value:.0f}"
    return gettext("%(number)s s") % {"number": formats.number_format(shown)}


def number(value: int) -> str:
    """Format an integer with thousands separators, in the active language."""
    return formats.number_format(value, force_grouping=True)


def _spans() -> list[str]:
    between = gettext("%(low)s to %(high)s")
    return [
        gettext("less than %(time)s") % {"time": seconds(BOUNDS[0])},
        *(between % {"low": seconds(low), "high": seconds(high)} for low, high in pairwise(BOUNDS)),
        gettext("%(time)s or more") % {"time": seconds(BOUNDS[-1])},
    ]


def _stacked(rows: list[Row]) -> list[Bar]:
    """Return the bars of each row, the second number stacked on the first."""
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
