"""The diagram of a saga: steps from left to right, their compensations below. Coordinates are integers for SVG."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from django.utils.translation import gettext

from sagas.definition.saga import Saga, SagaStep
from sagas.presentation.labels import label_of

MARGIN, GAP = 12, 36
HEIGHT, LETTER, MIN_WIDTH = 40, 9, 96
TOP, BELOW, FULL_HEIGHT = 34, 122, 174
HEAD = 7


@dataclass(frozen=True)
class Box:
    """A step or a compensation; `kinds` are its CSS classes."""

    x: int
    y: int
    width: int
    label: str
    kinds: str
    mark: str = ""

    @property
    def middle(self) -> int:
        """The x at the middle of the box, where its label is centred."""
        return self.x + self.width // 2

    @property
    def right(self) -> int:
        """The x of the right edge."""
        return self.x + self.width

    @property
    def line(self) -> int:
        """The y at which arrows touch the box."""
        return self.y + HEIGHT // 2

    @property
    def base(self) -> int:
        """The y of the baseline of the label."""
        return self.line + 5

    @property
    def above(self) -> int:
        """The y of the baseline of the mark, above the box."""
        return self.y - 10


@dataclass(frozen=True)
class Arrow:
    """A line and its head, as SVG paths."""

    line: str
    head: str


@dataclass(frozen=True)
class Diagram:
    """The drawing, and a description of it for screen readers."""

    width: int
    height: int
    box_height: int
    steps: list[Box]
    compensations: list[Box]
    arrows: list[Arrow]
    description: str


def diagram_of(saga: Saga) -> Diagram:
    """Lay out the diagram of a saga, with labels in the active language."""
    steps, x = [], MARGIN
    for step in saga:
        label = label_of(step)
        kind, mark = "", ""
        if step.pivot:
            kind, mark = "pivot", gettext("point of no return")
        elif step.optional:
            kind, mark = "optional", gettext("optional")
        width = max(MIN_WIDTH, LETTER * max(len(label), len(mark)) + 2 * MARGIN)
        steps.append(Box(x, TOP, width, label, kind, mark))
        x += width + GAP
    with_compensation = [box for box, step in zip(steps, saga, strict=True) if step.compensation]
    compensations = [Box(box.x, BELOW, box.width, gettext("Undo"), "compensation") for box in with_compensation]
    along = [_arrow(before.right, after.x, before.line) for before, after in pairwise(steps)]
    back = [_arrow(after.x, before.right, before.line) for before, after in pairwise(compensations)]
    centres = [box.middle for box in compensations]
    down = [Arrow(f"M{at} {TOP + HEIGHT}V{BELOW}", f"M{at} {BELOW}l-5 -{HEAD}h10z") for at in centres]
    height = FULL_HEIGHT if compensations else TOP + HEIGHT + MARGIN
    return Diagram(x - GAP + MARGIN, height, HEIGHT, steps, compensations, [*along, *back, *down], _description(saga))


def _arrow(start: int, end: int, y: int) -> Arrow:
    """Return a horizontal arrow at `y` from `start` to `end`, which may be to the left."""
    back = -HEAD if end > start else HEAD
    return Arrow(f"M{start} {y}H{end}", f"M{end} {y}l{back} -5v10z")


def _description(saga: Saga) -> str:
    compensated = [step for step in reversed(saga) if step.compensation]
    pivot = [step for step in saga if step.pivot]
    optional = [step for step in saga if step.optional]
    parts = [gettext("Steps in order: %(steps)s.") % {"steps": _names(saga)}]
    if compensated:
        parts.append(gettext("Undone in this order: %(steps)s.") % {"steps": _names(compensated)})
    if pivot:
        parts.append(gettext("Point of no return: %(steps)s.") % {"steps": _names(pivot)})
    if optional:
        parts.append(gettext("Optional: %(steps)s.") % {"steps": _names(optional)})
    return " ".join(parts)


def _names(steps: Saga | list[SagaStep]) -> str:
    return ", ".join(label_of(step) for step in steps)
