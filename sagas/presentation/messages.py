"""The sentences about an execution: one for its customer, and one for each step for support staff.

All surfaces show these. A saga's own wording comes first, if it has a template that can be filled from the context;
otherwise a general sentence with the step's label.
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
from .step_status import DONE, REFUSED, StepStatus, describe_step
from .templates import fill


@dataclass(frozen=True)
class StepText:
    """A step, its status and its sentence."""

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
    """Return the state for the customer; a held execution is being checked."""
    return CustomerState.CHECKING if execution.held else CUSTOMER_STATES[execution.state]


def message(
    execution: SagaExecution,
    saga: Saga | None,
    redactor: Redactor,
    *,
    history: History | None = None,
    by_hand: bool = False,
) -> str:
    """Return the message to the customer in the active language: why it failed or what is not undone comes first.

    Pass the history if it is loaded. A row alone does not always tell a refusal from an effect that was in doubt and
    compensated; the reason is then left out. Without the history, and if an operator has resolved steps `by_hand`, the
    message is general.
    """
    state = customer_state(execution)
    general = str(MESSAGES[state])
    words = _own_text(saga.wording if saga else None, state, execution, redactor) or general
    view = ExecutionView(execution, saga, history) if history else None
    left = _left(view, redactor) if view else []
    if left:
        return " ".join([*left, str(REST)] if state is CustomerState.FAILED else [*left, str(PERSON), words])
    if state is not CustomerState.FAILED:
        return words
    if by_hand and view is None:
        return general
    step = saga.step(execution.failed_step) if saga else None
    if step is None or not _was_refused(execution, step, view):
        return words
    reason = _own_text(step.wording, REFUSED.key, execution, redactor)
    return f"{reason} {words}" if reason else words


def settled_by_hand(executions: Iterable[SagaExecution]) -> frozenset[int]:
    """Return the primary keys of failed executions with steps that an operator resolved, in one query."""
    failed = [execution.pk for execution in executions if execution.state is SagaState.FAILED]
    runs = StepRun.objects.using(database.alias()).filter(execution__in=failed, run=F("execution__run"))
    return frozenset(runs.filter(direction=Direction.RESOLVED).values_list("execution_id", flat=True))


def step_texts(view: ExecutionView, redactor: Redactor) -> list[StepText]:
    """Return each planned step in order, in the active language."""
    texts = []
    for name in view.history.plan:
        found = describe_step(view, name)
        texts.append(StepText(name, found.status, sentence_of(view, name, found.key, found.sentence, redactor)))
    return texts


def by_hand(view: ExecutionView, name: str, redactor: Redactor) -> str:
    """Return what staff can do if the step's compensation was refused, from its wording; "" otherwise."""
    step, facts = view.step(name), view.facts[name]
    if (
        step is None
        or not facts.to_compensate
        or facts.compensation_ending is not Ending.REFUSED
        or facts.compensation_in_doubt
    ):
        return ""
    reported = facts.last[Direction.COMPENSATION].output
    return _own_text(step.wording, "by_hand", view.execution, redactor, reported) or ""


def sentence_of(view: ExecutionView, name: str, key: str, default: Promise, redactor: Redactor) -> str:
    """Return the step's own wording under this key, or the sentence `default` with the step's label."""
    step = view.step(name)
    words = _own_text(step.wording if step else None, key, view.execution, redactor)
    return words or str(default) % {"step": step_label(name, view.saga)}


def _own_text(
    wording: Mapping[str, Any] | None,
    key: str,
    execution: SagaExecution,
    redactor: Redactor,
    reported: Mapping[str, Any] | None = None,
) -> str | None:
    template = (wording or {}).get(key)
    return fill(template, (reported or {}, execution.context, execution.input), redactor) if template else None


def _left(view: ExecutionView, redactor: Redactor) -> list[str]:
    """Return a sentence for each effect that an operator let stay, or that could not be undone."""
    sentences = []
    for name in view.history.plan:
        description = describe_step(view, name)
        stays = view.state is SagaState.FAILED and description is DONE and view.facts[name].compensated
        stuck = view.state is SagaState.PARTIALLY_COMPENSATED and description.status is StepStatus.NOT_COMPENSATED
        if stays or stuck:
            sentences.append(sentence_of(view, name, description.key, description.sentence, redactor))
    return sentences


def _was_refused(execution: SagaExecution, step: SagaStep, view: ExecutionView | None) -> bool:
    """Whether the failed step certainly had no effect.

    Without a history: a step in doubt would have been compensated, or resolved by an operator.
    """
    if view is not None and step.name in view.history.plan:
        return describe_step(view, step.name) is REFUSED
    return step.transactional or (step.compensation is not None and not execution.compensation_performed)
