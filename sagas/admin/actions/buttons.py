"""The buttons of a case, and for each that is not there the sentence that says why."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from sagas import operations
from sagas.definition.exceptions import UnreadableRow
from sagas.models import SagaExecution
from sagas.operations import Operation
from sagas.operations.corrections import follow_up
from sagas.operations.permissions import NEEDS
from sagas.presentation.execution_view import ExecutionView, load_view

from .labels import NAMES, name_of

HARMLESS = frozenset({Operation.VERIFY})  # it asks, and changes nothing unless it ends a hold
SAFE = (Operation.VERIFY, Operation.RELEASE, Operation.RETRY)


@dataclass(frozen=True)
class Button:
    """An act that is possible now, for this user; `version` is the one that the user has seen.

    `at_once` says that nobody needs to see a preview first.
    """

    operation: str
    label: str
    url: str
    primary: bool
    version: int
    at_once: bool


@dataclass(frozen=True)
class Refusal:
    """An act that is not possible now, or not for this user, and why."""

    label: str
    sentence: str


def offered(
    request: HttpRequest, execution: SagaExecution, view: ExecutionView | None = None
) -> tuple[list[Button], list[Refusal]]:
    """What the user can do to the execution now, the safest first, and why not the rest; `view` spares a query."""
    try:
        return _offered(request, view or load_view(execution.saga_id))
    except UnreadableRow:
        return [], [Refusal(gettext("Everything"), unreadable())]


def may(request: HttpRequest, operation: Operation, execution: SagaExecution) -> bool:
    """Whether the user may do it; who corrects also does what follows from that."""
    needed = {NEEDS[operation]} | ({NEEDS[follow_up(execution)]} if operation is Operation.CORRECT else set())
    return all(request.user.has_perm(permission) for permission in needed)


def as_sentence(clause: str) -> str:
    """A refusal as a sentence of its own."""
    return f"{clause[:1].upper()}{clause[1:]}"


def unreadable() -> str:
    """Why nothing can be done to a row that somebody has damaged."""
    return gettext("What is stored of it cannot be read: it was changed by hand, or damaged.")


def _offered(request: HttpRequest, view: ExecutionView) -> tuple[list[Button], list[Refusal]]:
    execution, why_not = view.execution, operations.blocked_reasons(view)
    reasons = {
        operation: as_sentence(why_not[operation]) or _why_not_you(request, operation, execution) for operation in NAMES
    }
    possible = [operation for operation in NAMES if not reasons[operation]]
    first = next((operation for operation in SAFE if operation in possible), None)
    buttons = [_button(operation, execution, primary=operation is first) for operation in possible]
    return buttons, [
        Refusal(name_of(operation, execution), sentence) for operation, sentence in reasons.items() if sentence
    ]


def _why_not_you(request: HttpRequest, operation: Operation, execution: SagaExecution) -> str:
    return "" if may(request, operation, execution) else gettext("Your role may not do this: ask a supervisor.")


def _button(operation: Operation, execution: SagaExecution, *, primary: bool) -> Button:
    url = reverse("admin:sagas_sagaexecution_operation", args=[execution.pk, operation.value])
    at_once = operation in HARMLESS and not execution.held
    return Button(operation.value, name_of(operation, execution), url, primary, execution.version, at_once)
