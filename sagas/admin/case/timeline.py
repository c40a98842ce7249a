"""The attempts of an execution as rows of a table, and as bars of a timeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Ending, Outcome
from sagas.models import StepRun
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.labels import format_moment, format_span, step_label
from sagas.presentation.overview import error_text
from sagas.presentation.redactor import Redactor

DIRECTIONS = {
    Direction.ACTION: _("Action"),
    Direction.COMPENSATION: _("Undo"),
    Direction.VERIFY: _("Check with the provider"),
    Direction.RESOLVED: _("Resolved by hand"),
}
OUTCOMES = {
    (Direction.ACTION, Outcome.SUCCEEDED): _("Done"),
    (Direction.ACTION, Outcome.FAILED): _("Not done"),
    (Direction.ACTION, Outcome.UNCERTAIN): _("In doubt"),
    (Direction.ACTION, Outcome.PENDING): _("Accepted, not finished"),
    (Direction.COMPENSATION, Outcome.SUCCEEDED): _("Undone"),
    (Direction.COMPENSATION, Outcome.FAILED): _("Not undone"),
    (Direction.COMPENSATION, Outcome.UNCERTAIN): _("In doubt"),
    (Direction.COMPENSATION, Outcome.PENDING): _("Accepted, not finished"),
    (Direction.VERIFY, Outcome.SUCCEEDED): _("It was done"),
    (Direction.VERIFY, Outcome.FAILED): _("It was not done"),
    (Direction.VERIFY, Outcome.UNCERTAIN): _("Still in doubt"),
}
RESOLUTIONS = {"done": _("Done"), "not_done": _("Not done"), "undone": _("Undone")}
ENDINGS: dict[Ending, str | Promise] = {
    Ending.NONE: "",
    Ending.REFUSED: _("Refused for good"),
    Ending.SPENT: _("No retries left"),
    Ending.IMPATIENT: _("Gave up waiting"),
    Ending.POISON: _("Keeps crashing its worker"),
}
MARKS = {Outcome.SUCCEEDED: "✓", Outcome.FAILED: "✗", Outcome.UNCERTAIN: "?", Outcome.PENDING: "…"}

LABELS, LANE, BAR, HEAD, END = 190, 34, 20, 26, 12
MIN_BAR, GAP, LONG_GAP, TEXT_WIDTH = 24.0, 6.0, 1.0, 30.0
MIN_WIDTH, MAX_SCALE = 600.0, 3.0


@dataclass(frozen=True)
class Attempt:
    """A row of the table of attempts."""

    run: StepRun
    step: str
    direction: str | Promise
    outcome: str | Promise
    then: str | Promise
    started: str
    took: str
    error: str


@dataclass(frozen=True)
class Bar:
    """An attempt in the timeline. Its shape depends on the direction, its mark on the outcome; the title names both."""

    direction: str
    outcome: str
    x: int
    y: int
    width: int
    middle: int
    text: int
    mark: str
    title: str


@dataclass(frozen=True)
class Timeline:
    """The bars of a timeline, with one lane for each step.

    Widths are logarithmic, so that short attempts stay visible.
    """

    width: int
    height: int
    lanes: list[tuple[int, int, str]]
    bars: list[Bar]
    gaps: list[tuple[int, str]]


def attempts_of(step_runs: Iterable[StepRun], saga: Saga | None, redactor: Redactor) -> list[Attempt]:
    """Return a row for each step run, in the same order, with redacted errors."""
    attempts = []
    for run in step_runs:
        direction, outcome = Direction(run.direction), Outcome(run.outcome)
        then = ENDINGS[Ending(run.ending)]
        if run.retry_at:
            then = gettext("Another attempt was planned for %(at)s") % {"at": format_moment(run.retry_at)}
        resolved = RESOLUTIONS.get(run.resolution, "")
        attempt = Attempt(
            run=run,
            step=step_label(run.step, saga),
            direction=DIRECTIONS[direction],
            outcome=resolved if direction is Direction.RESOLVED else OUTCOMES[direction, outcome],
            then=then,
            started=format_moment(run.started_at),
            took=format_span(run.duration()),
            error=redactor(error_text(run.error_type, run.error_message)),
        )
        attempts.append(attempt)
    return attempts


def timeline_of(view: ExecutionView, attempts: Sequence[Attempt]) -> Timeline | None:
    """Lay out the attempts of the current run as a timeline. Return None if there are none.

    `attempts` may contain other runs, and must be in the order in which they were made.
    """
    attempts = [attempt for attempt in attempts if attempt.run.run == view.execution.run]
    if not attempts:
        return None
    names = list(dict.fromkeys([*view.history.plan, *(attempt.run.step for attempt in attempts)]))
    tops = {name: HEAD + place * LANE for place, name in enumerate(names)}
    places, gaps, end = _places([attempt.run for attempt in attempts])
    lanes = [(top + LANE - 7, top + BAR, step_label(name, view.saga)) for name, top in tops.items()]
    bars = [_bar(one, x, width, tops[one.run.step] + 5) for one, (x, width) in zip(attempts, places, strict=True)]
    return Timeline(end + END, HEAD + LANE * len(names), lanes, bars, gaps)


def _places(runs: Sequence[StepRun]) -> tuple[list[tuple[int, int]], list[tuple[int, str]], int]:
    """Return the start and width of each bar, the middle and text of each long wait, and the right end."""
    between = [(after.started_at - before.finished_at).total_seconds() for before, after in pairwise(runs)]
    waits = [0.0, *(max(0.0, seconds) for seconds in between)]
    gaps = [GAP + 12 * math.log2(1 + wait) + (TEXT_WIDTH if wait >= LONG_GAP else 0) for wait in waits]
    widths = [MIN_BAR + 12 * math.log2(1 + 4 * run.duration()) for run in runs]
    scale = min(MAX_SCALE, max(1.0, MIN_WIDTH / (sum(gaps) + sum(widths))))
    ends = [LABELS + scale * end for end in accumulate(gap + width for gap, width in zip(gaps, widths, strict=True))]
    places = [(round(end - scale * width), round(scale * width)) for end, width in zip(ends, widths, strict=True)]
    middles = [start - round(scale * gap / 2) for (start, _width), gap in zip(places, gaps, strict=True)]
    texts = [(middle, format_span(wait)) for middle, wait in zip(middles, waits, strict=True) if wait >= LONG_GAP]
    return places, texts, round(ends[-1])


def _bar(attempt: Attempt, x: int, width: int, y: int) -> Bar:
    parts = {
        "step": attempt.step,
        "direction": attempt.direction,
        "attempt": attempt.run.attempt,
        "outcome": attempt.outcome,
        "at": attempt.started,
        "took": attempt.took,
    }
    title = gettext("%(step)s, %(direction)s, attempt %(attempt)s: %(outcome)s; at %(at)s, took %(took)s") % parts
    mark = MARKS[Outcome(attempt.run.outcome)]
    return Bar(attempt.run.direction, attempt.run.outcome, x, y, width, x + width // 2, y + 15, mark, title)


def by_run(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    """Group the attempts by the number of their run, newest run first."""
    runs: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        runs.setdefault(attempt.run.run, []).append(attempt)
    return dict(sorted(runs.items(), reverse=True))
