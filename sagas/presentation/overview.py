"""An execution on one page: its diagnosis, and its steps grouped by status."""

from __future__ import annotations

from dataclasses import dataclass

from .diagnosis import diagnose
from .execution_view import ExecutionView
from .redactor import Redactor
from .step_lines import StepLine, step_lines
from .step_status import StepStatus

GROUPED = frozenset({StepStatus.DONE, StepStatus.COMPENSATED, StepStatus.IN_DOUBT, StepStatus.NOT_COMPENSATED})


@dataclass(frozen=True)
class Overview:
    """The diagnosis and the step lines by status; `others` are refused, running, compensating or waiting."""

    tone: str
    headline: str
    advice: str
    done: tuple[StepLine, ...]
    compensated: tuple[StepLine, ...]
    in_doubt: tuple[StepLine, ...]
    not_compensated: tuple[StepLine, ...]
    others: tuple[StepLine, ...]


def overview_of(view: ExecutionView, redactor: Redactor) -> Overview:
    """Return the overview in the active language."""
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
        others=tuple(line for line in lines if line.status not in GROUPED),
    )
