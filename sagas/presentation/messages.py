"""Write the sentences about an execution: one message for the customer, and one sentence per step for support staff.

The admin, the API, the commands and the booking page show these sentences. A template from the saga's wording is used
if the context has all its values. Otherwise a general sentence with the step's label is used.
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
    """The status of a step and the sentence that describes it."""

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
    """Return the state that the customer sees. A held execution is shown as being checked."""
    return CustomerState.CHECKING if execution.held else CUSTOMER_STATES[execution.state]


def message(
    execution: SagaExecution,
    saga: Saga | None,
    redactor: Redactor,
    *,
    history: History | None = None,
    by_hand: bool = False,
) -> str:
    """Return the message to the customer in the active language.

    What was not undone, or refused, comes first. Pass `history` if it is loaded: without it, the message omits the
    reason of a failure unless the row alone proves that the failed step had no effect. `by_hand` = an operator resolved
    steps of the run; without the history, a failed execution then gets a general message.
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
    """Return the primary keys of the failed executions in which an operator resolved a step of the current run.

    Makes one query.
    """
    failed = [execution.pk for execution in executions if execution.state is SagaState.FAILED]
    runs = StepRun.objects.using(database.alias()).filter(execution__in=failed, run=F("execution__run"))
    return frozenset(runs.filter(direction=Direction.RESOLVED).values_list("execution_id", flat=True))


def step_texts(view: ExecutionView, redactor: Redactor) -> list[StepText]:
    """Return the status and sentence of each planned step, in order, in the active language."""
    texts = []
    for name in view.history.plan:
        found = describe_step(view, name)
        texts.append(StepText(name, found.status, sentence_of(view, name, found.key, found.sentence, redactor)))
    return texts


def by_hand(view: ExecutionView, name: str, redactor: Redactor) -> str:
    """Return what staff can do by hand after the provider refused the compensation of this step.

    The text comes from the step's wording. "" if the wording has none, or the compensation was not refused.
    """
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
    """Return the redacted text for `key` from the step's wording, or else `default` with the step's label.

    `default` has the placeholder %(step)s.
    """
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
    """Return a sentence for each effect that remains: an operator kept it, or it could not be compensated."""
    sentences = []
    for name in view.history.plan:
        description = describe_step(view, name)
        stays = view.state is SagaState.FAILED and description is DONE and view.facts[name].compensated
        stuck = view.state is SagaState.PARTIALLY_COMPENSATED and description.status is StepStatus.NOT_COMPENSATED
        if stays or stuck:
            sentences.append(sentence_of(view, name, description.key, description.sentence, redactor))
    return sentences


def _was_refused(execution: SagaExecution, step: SagaStep, view: ExecutionView | None) -> bool:
    """Return whether the failed step certainly had no effect.

    Without a history, the row proves this if no compensation was made: a step in doubt would have been compensated.
    """
    if view is not None and step.name in view.history.plan:
        return describe_step(view, step.name) is REFUSED
    return step.transactional or (step.compensation is not None and not execution.compensation_performed)
