"""The file of a case: what has become of an execution, in words for a person who has to decide at 2 am.

The verdict in a headline, what to do about it, and each step in a whole sentence, with what its provider said.
"""

from __future__ import annotations

from dataclasses import dataclass

from .diagnosis import diagnose
from .execution_view import ExecutionView
from .redactor import Redactor
from .step_lines import StepLine, step_lines
from .step_status import StepStatus

APART = frozenset({StepStatus.DONE, StepStatus.COMPENSATED, StepStatus.IN_DOUBT, StepStatus.NOT_COMPENSATED})


@dataclass(frozen=True)
class Overview:
    """How it stands: the tone is good, busy, bad or doubt; `others` are refused, under way, or not begun."""

    tone: str
    headline: str
    advice: str
    done: tuple[StepLine, ...]
    compensated: tuple[StepLine, ...]
    in_doubt: tuple[StepLine, ...]
    not_compensated: tuple[StepLine, ...]
    others: tuple[StepLine, ...]


def overview_of(view: ExecutionView, redactor: Redactor) -> Overview:
    """The case, in the active language."""
    lines = step_lines(view, redactor)
    diagnosis = diagnose(view, redactor)

    def those(status: StepStatus) -> tuple[StepLine, ...]:
        return tuple(line for line in lines if line.status is status)

    return Overview(
        tone=diagnosis.tone,
        headline=diagnosis.headline,
        advice=diagnosis.advice,
        done=those(StepStatus.DONE),
        compensated=those(StepStatus.COMPENSATED),
        in_doubt=those(StepStatus.IN_DOUBT),
        not_compensated=those(StepStatus.NOT_COMPENSATED),
        others=tuple(line for line in lines if line.status not in APART),
    )
