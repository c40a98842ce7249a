"""Labels of operations, and the messages after them."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Outcome, SagaState
from sagas.models import SagaExecution
from sagas.operations import Operation
from sagas.presentation.execution_view import hold_cause
from sagas.storage import database

LABELS = {
    Operation.VERIFY: _("Check with the provider"),
    Operation.RELEASE: _("Release"),
    Operation.RETRY: _("Retry"),
    Operation.CORRECT: _("Correct the input and retry"),
    Operation.RESOLVE: _("Mark a step as resolved"),
    Operation.ACKNOWLEDGE: _("Acknowledge"),
    Operation.HOLD: _("Put on hold"),
    Operation.CANCEL: _("Cancel and undo"),
    Operation.COMPENSATE: _("Undo everything"),
}


def label_of(operation: Operation, execution: SagaExecution) -> str:
    """Return the label of the operation for this execution."""
    if operation is Operation.RETRY and execution.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Undo again")
    if operation is Operation.RELEASE and execution.held and _stopped_at_a_failed_step(execution):
        return gettext("Continue from the failed step")
    return str(LABELS[operation])


def result_message(operation: Operation, execution: SagaExecution) -> str:
    """Describe what the operation did, and what happens now."""
    describe = {
        Operation.HOLD: _message_of_hold,
        Operation.CANCEL: _message_of_cancel,
        Operation.RETRY: _message_of_retry,
        Operation.RESOLVE: _message_of_resolve,
    }.get(operation)
    return describe(execution) if describe else str(MESSAGES[operation])


MESSAGES = {
    Operation.VERIFY: _("Checking with the provider. This page updates itself."),
    Operation.RELEASE: _("Released. It continues from where it stopped; this page updates itself."),
    Operation.ACKNOWLEDGE: _("Acknowledged. It no longer needs attention."),
    Operation.COMPENSATE: _("Undoing everything, last step first. This page updates itself."),
}


def _stopped_at_a_failed_step(execution: SagaExecution) -> bool:
    """Whether the engine held it after a failed attempt."""
    if hold_cause(execution) != "engine":
        return False
    last = execution.step_executions.using(database.alias()).values_list("outcome", flat=True).last()
    return last not in (None, Outcome.SUCCEEDED.value)


def _message_of_hold(execution: SagaExecution) -> str:
    if execution.held:
        return gettext("On hold. Nothing continues until someone releases it.")
    return gettext("It will be put on hold when the running step finishes.")


def _message_of_cancel(execution: SagaExecution) -> str:
    if execution.pending_request:
        return gettext("It will be cancelled when the running step finishes. This page updates itself.")
    if execution.state is SagaState.FAILED:
        return gettext("Cancelled. There was nothing to undo.")
    return gettext("Cancelled. What was done is being undone; this page updates itself.")


def _message_of_retry(execution: SagaExecution) -> str:
    if execution.state is SagaState.COMPENSATING:
        return gettext("Undoing again. This page updates itself.")
    return gettext("Retrying from the first step. This page updates itself.")


def _message_of_resolve(execution: SagaExecution) -> str:
    if execution.held:
        return gettext("Recorded. The case stays on hold.")
    if execution.state is SagaState.FAILED:
        return gettext("Recorded. Nothing is left to undo.")
    if execution.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Recorded. Other steps could not be undone.")
    return gettext("Recorded. The case continues; this page updates itself.")
