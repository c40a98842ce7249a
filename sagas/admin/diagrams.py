"""A saga as a drawing: its steps from left to right, their undos backwards beneath. Whole numbers, for SVG."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from django.utils.translation import gettext

from sagas.definition.saga import Saga, SagaStep
from sagas.presentation.labels import label_of

MARGIN, GAP = 12, 36
HEIGHT, LETTER, NARROWEST = 40, 9, 96
TOP, BENEATH, ALL = 34, 122, 174
HEAD = 7


@dataclass(frozen=True)
class Box:
    """A step, or the undo of one; its kinds are the classes that style it."""

    x: int
    y: int
    width: int
    label: str
    kinds: str
    mark: str = ""

    @property
    def middle(self) -> int:
        """Where its label is centred."""
        return self.x + self.width // 2

    @property
    def right(self) -> int:
        """Its right edge."""
        return self.x + self.width

    @property
    def line(self) -> int:
        """The height at which arrows meet it."""
        return self.y + HEIGHT // 2

    @property
    def base(self) -> int:
        """The line that its label stands on."""
        return self.line + 5

    @property
    def above(self) -> int:
        """The line that its mark stands on."""
        return self.y - 10


@dataclass(frozen=True)
class Arrow:
    """A line and its head, as SVG paths."""

    line: str
    head: str


@dataclass(frozen=True)
class Diagram:
    """The drawing, with what it shows in words."""

    width: int
    height: int
    box_height: int
    steps: list[Box]
    undos: list[Box]
    arrows: list[Arrow]
    words: str


def diagram_of(saga: Saga) -> Diagram:
    """The saga as a drawing."""
    steps, x = [], MARGIN
    for step in saga:
        steps.append(_box(step, x))
        x = steps[-1].right + GAP
    undos = [_undo(box) for box, step in zip(steps, saga, strict=True) if step.compensation]
    along = [_arrow(before.right, after.x, before.line) for before, after in pairwise(steps)]
    back = [_arrow(after.x, before.right, before.line) for before, after in pairwise(undos)]
    down = [_drop(undo.middle) for undo in undos]
    height = ALL if undos else TOP + HEIGHT + MARGIN
    return Diagram(x - GAP + MARGIN, height, HEIGHT, steps, undos, [*along, *back, *down], _in_words(saga))


def _box(step: SagaStep, x: int) -> Box:
    label = label_of(step)
    mark = gettext("point of no return") if step.pivot else gettext("optional") if step.optional else ""
    width = max(NARROWEST, LETTER * max(len(label), len(mark)) + 2 * MARGIN)
    return Box(x, TOP, width, label, "pivot" if step.pivot else "optional" if step.optional else "", mark)


def _undo(step: Box) -> Box:
    return Box(step.x, BENEATH, step.width, gettext("Undo"), "undo")


def _arrow(start: int, end: int, y: int) -> Arrow:
    """To the right, or to the left."""
    back = -HEAD if end > start else HEAD
    return Arrow(f"M{start} {y}H{end}", f"M{end} {y}l{back} -5v10z")


def _drop(x: int) -> Arrow:
    """From a step down to its undo."""
    return Arrow(f"M{x} {TOP + HEIGHT}V{BENEATH}", f"M{x} {BENEATH}l-5 -{HEAD}h10z")


def _in_words(saga: Saga) -> str:
    undone = [step for step in reversed(saga) if step.compensation]
    pivot = [step for step in saga if step.pivot]
    optional = [step for step in saga if step.optional]
    parts = [gettext("Steps in order: %(steps)s.") % {"steps": _names(saga)}]
    if undone:
        parts.append(gettext("Undone in this order: %(steps)s.") % {"steps": _names(undone)})
    if pivot:
        parts.append(gettext("Point of no return: %(steps)s.") % {"steps": _names(pivot)})
    if optional:
        parts.append(gettext("Optional: %(steps)s.") % {"steps": _names(optional)})
    return " ".join(parts)


def _names(steps: Saga | list[SagaStep]) -> str:
    return ", ".join(label_of(step) for step in steps)
