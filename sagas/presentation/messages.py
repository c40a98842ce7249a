"""What people are told of an execution: the customer in a sentence, support staff in one for each step.

Each surface asks here, so that all of them say the same. The words are the saga's own, where its wording has them and
they can be filled from the context; else those of a table, with the step's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import CustomerState, Direction, Ending, SagaState
from sagas.engine.history import History
from sagas.models import SagaExecution, StepRun
from sagas.storage import database

from .execution_view import ExecutionView
from .labels import step_label
from .redactor import Redactor
from .step_status import DONE, REFUSED, StepStatus, case_of
from .templates import fill

__all__ = [
    "CustomerState",
    "StepStatus",
    "StepTold",
    "by_hand",
    "customer_state",
    "message",
    "sentence_of",
    "settled_by_hand",
    "steps_told",
]


@dataclass(frozen=True)
class StepTold:
    """A step as people are told of it."""

    name: str
    status: StepStatus
    sentence: str


CUSTOMER_STATES = {
    SagaState.PENDING: CustomerState.PROCESSING,
    SagaState.IN_PROGRESS: CustomerState.PROCESSING,
    SagaState.COMPENSATING: CustomerState.CHECKING,
    SagaState.SUCCEEDED: CustomerState.CONFIRMED,
    SagaState.FAILED: CustomerState.FAILED,
    SagaState.PARTIALLY_COMPENSATED: CustomerState.CHECKING,
}
MESSAGES = {
    CustomerState.PROCESSING: _("Your request is being worked on."),
    CustomerState.CONFIRMED: _("Your request has been carried out."),
    CustomerState.FAILED: _("Your request was not carried out."),
    CustomerState.CHECKING: _("Your request is being checked. You do not need to do anything."),
}
REST = _("The rest of your request was not carried out.")
PERSON = _("A person is looking into it.")


def customer_state(execution: SagaExecution) -> CustomerState:
    """What the customer is told of it in a word; what is held waits for a person, who checks it."""
    return CustomerState.CHECKING if execution.held else CUSTOMER_STATES[execution.state]


def message(
    execution: SagaExecution,
    saga: Saga | None,
    redactor: Redactor,
    *,
    history: History | None = None,
    by_hand: bool = False,
) -> str:
    """What the customer is told of it, in the active language; why it failed comes first, or what is not undone of it.

    The row alone is enough. But it cannot always tell a refusal from an effect that was in doubt and taken back, and
    then the reason is left out; with the history it is told of each refusal, and of what a person has let stay. Without
    it, and where a person has settled steps `by_hand`, the words are general.
    """
    state = customer_state(execution)
    general = str(MESSAGES[state])
    words = _own_words(saga.wording if saga else None, state, execution, redactor) or general
    view = ExecutionView(execution, saga, history) if history else None
    left = _left(view, redactor) if view else []
    if left:
        return " ".join([*left, str(REST)] if state is CustomerState.FAILED else [*left, str(PERSON), words])
    if state is not CustomerState.FAILED:
        return words
    if by_hand and view is None:
        return general
    reason = _reason(execution, saga, view, redactor)
    return f"{reason} {words}" if reason else words


def settled_by_hand(executions: Iterable[SagaExecution]) -> frozenset[int]:
    """Ids of those that have failed and of whose steps a person has said what became, for `message`; in one query."""
    failed = [execution.pk for execution in executions if execution.state is SagaState.FAILED]
    runs = StepRun.objects.using(database.alias()).filter(execution__in=failed, run=F("execution__run"))
    return frozenset(runs.filter(direction=Direction.RESOLVED).values_list("execution_id", flat=True))


def steps_told(view: ExecutionView, redactor: Redactor) -> list[StepTold]:
    """Each planned step in order, in the active language."""
    told = []
    for name in view.history.plan:
        case = case_of(view, name)
        told.append(StepTold(name, case.status, sentence_of(view, name, case.key, case.sentence, redactor)))
    return told


def by_hand(view: ExecutionView, name: str, redactor: Redactor) -> str:
    """What a person can do where the step's undo was refused; "" where it was not, or its wording does not say."""
    step, facts = view.step(name), view.facts[name]
    if (
        step is None
        or not facts.to_compensate
        or facts.compensation_ending is not Ending.REFUSED
        or facts.compensation_in_doubt
    ):
        return ""
    reported = facts.last[Direction.COMPENSATION].output
    return _own_words(step.wording, "by_hand", view.execution, redactor, reported) or ""


def sentence_of(view: ExecutionView, name: str, key: str, without: Promise, redactor: Redactor) -> str:
    """What the step's own wording says under this key; the sentence `without`, with its name, where it says nothing."""
    step = view.step(name)
    words = _own_words(step.wording if step else None, key, view.execution, redactor)
    return words or str(without) % {"step": step_label(name, view.saga)}


def _own_words(
    wording: Mapping[str, Any] | None,
    key: str,
    execution: SagaExecution,
    redactor: Redactor,
    reported: Mapping[str, Any] | None = None,
) -> str | None:
    template = (wording or {}).get(key)
    return fill(template, (reported or {}, execution.context, execution.input), redactor) if template else None


def _reason(execution: SagaExecution, saga: Saga | None, view: ExecutionView | None, redactor: Redactor) -> str | None:
    step = saga.step(execution.failed_step) if saga else None
    if step is None or not _was_refused(execution, step, view):
        return None
    return _own_words(step.wording, REFUSED.key, execution, redactor)


def _left(view: ExecutionView, redactor: Redactor) -> list[str]:
    """What stays of a saga that failed, by a person's word, or is not undone of one that a person looks into."""
    told = []
    for name in view.history.plan:
        case = case_of(view, name)
        stays = view.state is SagaState.FAILED and case is DONE and view.facts[name].compensated
        stuck = view.state is SagaState.PARTIALLY_COMPENSATED and case.status is StepStatus.NOT_COMPENSATED
        if stays or stuck:
            told.append(sentence_of(view, name, case.key, case.sentence, redactor))
    return told


def _was_refused(execution: SagaExecution, step: SagaStep, view: ExecutionView | None) -> bool:
    """Whether the failed step certainly has no effect.

    Without a history: had it been in doubt, its undo, if it has one, or a person would have taken it back.
    """
    if view is not None and step.name in view.history.plan:
        return case_of(view, step.name) is REFUSED
    return step.transactional or (step.compensation is not None and not execution.compensation_performed)
