"""The labels of operations, and the messages that are shown after them."""

from __future__ import annotations

from django.utils.functional import Promise
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
    """Return the label of the operation in the active language. It depends on the state of the execution.

    For a held execution this queries the database.
    """
    if operation is Operation.RETRY and execution.state is SagaState.PARTIALLY_COMPENSATED:
        return gettext("Undo again")
    if operation is Operation.RELEASE and execution.held and hold_cause(execution) == "engine":
        last = execution.step_executions.using(database.alias()).values_list("outcome", flat=True).last()
        if last not in (None, Outcome.SUCCEEDED.value):
            return gettext("Continue from the failed step")
    return str(LABELS[operation])


def result_message(operation: Operation, execution: SagaExecution) -> str:
    """Return the sentence that says what the operation did and what happens next.

    `execution` is the row after the operation.
    """
    keys = (
        "held" if execution.held else None,
        "requested" if execution.pending_request else None,
        execution.state,
        "",
    )
    return str(next(MESSAGES[operation, key] for key in keys if (operation, key) in MESSAGES))


# Keys: the operation, and a condition of the execution after it ("" = any).
MESSAGES: dict[tuple[Operation, str | None], Promise] = {
    (Operation.VERIFY, ""): _("Checking with the provider. This page updates itself."),
    (Operation.RELEASE, ""): _("Released. It continues from where it stopped; this page updates itself."),
    (Operation.ACKNOWLEDGE, ""): _("Acknowledged. It no longer needs attention."),
    (Operation.COMPENSATE, ""): _("Undoing everything, last step first. This page updates itself."),
    (Operation.HOLD, "held"): _("On hold. Nothing continues until someone releases it."),
    (Operation.HOLD, ""): _("It will be put on hold when the running step finishes."),
    (Operation.CANCEL, "requested"): _(
        "It will be cancelled when the running step finishes. This page updates itself."
    ),
    (Operation.CANCEL, SagaState.FAILED): _("Cancelled. There was nothing to undo."),
    (Operation.CANCEL, ""): _("Cancelled. What was done is being undone; this page updates itself."),
    (Operation.RETRY, SagaState.COMPENSATING): _("Undoing again. This page updates itself."),
    (Operation.RETRY, ""): _("Retrying from the first step. This page updates itself."),
    (Operation.RESOLVE, "held"): _("Recorded. The case stays on hold."),
    (Operation.RESOLVE, SagaState.FAILED): _("Recorded. Nothing is left to undo."),
    (Operation.RESOLVE, SagaState.PARTIALLY_COMPENSATED): _("Recorded. Other steps could not be undone."),
    (Operation.RESOLVE, ""): _("Recorded. The case continues; this page updates itself."),
}
