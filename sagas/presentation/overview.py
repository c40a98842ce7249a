"""The file of a case: what has become of an execution, in words for a person who has to decide at 2 am.

The verdict in a headline, what to do about it, and each step in a whole sentence, with what its provider said.
"""

from __future__ import annotations

from dataclasses import dataclass

from .diagnosis import diagnose
from .execution_view import ExecutionView
from .messages import StepStatus
from .redactor import Redactor
from .step_lines import Line, lines_of

APART = frozenset({StepStatus.DONE, StepStatus.COMPENSATED, StepStatus.IN_DOUBT, StepStatus.NOT_COMPENSATED})


@dataclass(frozen=True)
class Case:
    """How it stands: the tone is good, busy, bad or doubt; `others` are refused, under way, or not begun."""

    tone: str
    headline: str
    advice: str
    done: tuple[Line, ...]
    undone: tuple[Line, ...]
    in_doubt: tuple[Line, ...]
    not_undone: tuple[Line, ...]
    others: tuple[Line, ...]


def case_of(view: ExecutionView, redactor: Redactor) -> Case:
    """The case, in the active language."""
    lines = lines_of(view, redactor)
    diagnosis = diagnose(view, redactor)

    def those(status: StepStatus) -> tuple[Line, ...]:
        return tuple(line for line in lines if line.status is status)

    return Case(
        tone=diagnosis.tone,
        headline=diagnosis.headline,
        advice=diagnosis.advice,
        done=those(StepStatus.DONE),
        undone=those(StepStatus.COMPENSATED),
        in_doubt=those(StepStatus.IN_DOUBT),
        not_undone=those(StepStatus.NOT_COMPENSATED),
        others=tuple(line for line in lines if line.status not in APART),
    )
