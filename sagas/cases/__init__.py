"""The file of a case: what has become of an execution, in words for a person who has to decide at 2 am.

The verdict in a headline, what to do about it, and each step in a whole sentence, with what its provider said.
"""

from __future__ import annotations

from dataclasses import dataclass

from sagas.definition import Saga
from sagas.histories import History
from sagas.models import SagaExecution
from sagas.wording import StepStatus

from .lines import Line, error_in_words, lines_of
from .moments import moment_in_words, span_in_words
from .situations import verdict_of, verdict_without_saga
from .stands import Stands
from .veil import Veil, veil_over

__all__ = ["Case", "Line", "Veil", "case_of", "error_in_words", "moment_in_words", "span_in_words", "veil_over"]

APART = frozenset({StepStatus.DONE, StepStatus.UNDONE, StepStatus.IN_DOUBT, StepStatus.NOT_UNDONE})


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


def case_of(execution: SagaExecution, saga: Saga | None, history: History, *, personal: bool) -> Case:
    """The case, in the active language; `personal` shows the values of personal keys."""
    veil = veil_over(execution, saga, personal=personal)
    lines = lines_of(execution, saga, history, veil)
    stands = Stands(execution, saga, history, lines, veil) if saga else None
    verdict = verdict_of(stands) if stands else verdict_without_saga(execution)

    def those(status: StepStatus) -> tuple[Line, ...]:
        return tuple(line for line in lines if line.status is status)

    return Case(
        tone=verdict.tone,
        headline=verdict.headline,
        advice=verdict.advice,
        done=those(StepStatus.DONE),
        undone=those(StepStatus.UNDONE),
        in_doubt=those(StepStatus.IN_DOUBT),
        not_undone=those(StepStatus.NOT_UNDONE),
        others=tuple(line for line in lines if line.status not in APART),
    )
