"""The operations that the user can start now, as buttons, and the reasons why the others are blocked."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from sagas import operations
from sagas.models import SagaExecution
from sagas.operations import Operation
from sagas.operations.corrections import follow_up
from sagas.operations.permissions import NEEDS
from sagas.presentation.execution_view import ExecutionView, load_view

from .labels import LABELS, label_of

WITHOUT_PREVIEW = frozenset({Operation.VERIFY})  # if the execution is not held; on a held one, verify also releases
SAFEST_FIRST = (Operation.VERIFY, Operation.RELEASE, Operation.RETRY)


@dataclass(frozen=True)
class Button:
    """An operation that this user can start now.

    `version` is the version of the execution that the page shows. `at_once` means that the operation needs no preview.
    """

    operation: str
    label: str
    url: str
    primary: bool
    version: int
    at_once: bool


@dataclass(frozen=True)
class Blocked:
    """An operation that is not possible now, or not for this user. `sentence` says why."""

    label: str
    sentence: str


def offered(
    request: HttpRequest, execution: SagaExecution, view: ExecutionView | None = None
) -> tuple[list[Button], list[Blocked]]:
    """Return the operations as buttons and as blocked ones. The safest possible operation is `primary`.

    Pass `view` if it is loaded. Without it, this function loads the execution with its history.
    """
    view = view or load_view(execution.saga_id)
    execution, why_not = view.execution, operations.blocked_reasons(view)
    reasons = {}
    for operation in LABELS:
        reasons[operation] = as_sentence(why_not[operation])
        if not reasons[operation] and not may(request, operation, execution):
            reasons[operation] = gettext("Your role does not allow this. Ask a supervisor.")
    first = next((operation for operation in SAFEST_FIRST if not reasons[operation]), None)
    buttons, blocked = [], []
    for operation, reason in reasons.items():
        label = label_of(operation, execution)
        if reason:
            blocked.append(Blocked(label, reason))
            continue
        url = reverse("admin:sagas_sagaexecution_operation", args=[execution.pk, operation.value])
        at_once = operation in WITHOUT_PREVIEW and not execution.held
        buttons.append(Button(operation.value, label, url, operation is first, execution.version, at_once))
    return buttons, blocked


def may(request: HttpRequest, operation: Operation, execution: SagaExecution) -> bool:
    """Return whether the user has the permissions for the operation on this execution.

    To correct an input, the user also needs the permission for the operation that follows the correction.
    """
    needed = {NEEDS[operation]} | ({NEEDS[follow_up(execution)]} if operation is Operation.CORRECT else set())
    return all(request.user.has_perm(permission) for permission in needed)


def as_sentence(clause: str) -> str:
    """Return the clause with a capital first letter."""
    return f"{clause[:1].upper()}{clause[1:]}"
