"""What the acts are called, and what is said of one that was done."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Outcome, SagaState
from sagas.models import SagaExecution
from sagas.operations import Operation
from sagas.presentation.execution_view import hold_cause
from sagas.storage import database

NAMES = {
    Operation.VERIFY: _("Check with the provider"),
    Operation.RELEASE: _("Release"),
    Operation.RETRY: _("Try again from the start"),
    Operation.CORRECT: _("Correct the input and try again"),
    Operation.RESOLVE: _("Resolve a step by hand"),
    Operation.ACKNOWLEDGE: _("Acknowledge"),
    Operation.HOLD: _("Hold"),
    Operation.CANCEL: _("Cancel and undo"),
    Operation.COMPENSATE: _("Undo everything"),
}


def name_of(operation: Operation, execution: SagaExecution) -> str:
    """What the act is called, as the execution stands."""
    if operation is Operation.RETRY and execution.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Undo again")
    if operation is Operation.RELEASE and execution.held and _stopped_at_a_failed_step(execution):
        return gettext("Continue from the failed step")
    return str(NAMES[operation])


def outcome_of(operation: Operation, execution: SagaExecution) -> str:
    """What has come of the act, and what goes on now, from the execution that it left behind."""
    tell = {
        Operation.HOLD: _outcome_of_hold,
        Operation.CANCEL: _outcome_of_cancel,
        Operation.RETRY: _outcome_of_retry,
        Operation.RESOLVE: _outcome_of_resolve,
    }.get(operation)
    return tell(execution) if tell else str(OUTCOMES[operation])


OUTCOMES = {
    Operation.VERIFY: _("The provider is asked now what really happened; this page shows the answer when it is there."),
    Operation.RELEASE: _("It is released, and goes on from where it stood; this page shows how."),
    Operation.ACKNOWLEDGE: _("It is off the list of those that need attention."),
    Operation.COMPENSATE: _("It is being undone now, last step first; this page shows how."),
}


def _stopped_at_a_failed_step(execution: SagaExecution) -> bool:
    """Whether the engine held it, and not before a step that nobody has tried."""
    if hold_cause(execution) != "engine":
        return False
    last = execution.step_executions.using(database.alias()).values_list("outcome", flat=True).last()
    return last not in (None, Outcome.SUCCEEDED.value)


def _outcome_of_hold(execution: SagaExecution) -> str:
    if execution.held:
        return gettext("It is held: nothing goes on until somebody releases it.")
    return gettext("It will be held as soon as the step that is under way has ended.")


def _outcome_of_cancel(execution: SagaExecution) -> str:
    if execution.pending_request:
        return gettext("It will be cancelled as soon as the step that is under way has ended; this page shows how.")
    if execution.state is SagaState.FAILED:
        return gettext("It is cancelled; there was nothing to undo.")
    return gettext("It is cancelled, and what was done is being undone now; this page shows how.")


def _outcome_of_retry(execution: SagaExecution) -> str:
    if execution.state is SagaState.COMPENSATING:
        return gettext("What is not undone yet is tried again now; this page shows how.")
    return gettext("It starts again from the first step now; this page shows how.")


def _outcome_of_resolve(execution: SagaExecution) -> str:
    if execution.held:
        return gettext("Your word is put down; the case is still held.")
    if execution.state is SagaState.FAILED:
        return gettext("Your word is put down, and nothing is left to be undone.")
    if execution.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Your word is put down; there are other steps that are not undone.")
    return gettext("Your word is put down, and the case goes on now; this page shows how.")
