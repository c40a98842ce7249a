"""The buttons of a case, and for each that is not there the sentence that says why."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from sagas import operations
from sagas.exceptions import UnreadableRow
from sagas.models import SagaExecution
from sagas.operations import Act
from sagas.operations.corrections import what_follows
from sagas.operations.permissions import NEEDS
from sagas.operations.situation import Situation, look

from .act_words import NAMES, name_of

HARMLESS = frozenset({Act.VERIFY})  # it asks, and changes nothing unless it ends a hold
SAFE = (Act.VERIFY, Act.RELEASE, Act.RETRY)


@dataclass(frozen=True)
class Button:
    """An act that is possible now, for this user; `version` is the one that the user has seen.

    `at_once` says that nobody needs to see a preview first.
    """

    act: str
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
    request: HttpRequest, execution: SagaExecution, situation: Situation | None = None
) -> tuple[list[Button], list[Refusal]]:
    """What the user can do to the execution now, the safest first, and why not the rest; `situation` spares a look."""
    try:
        return _offered(request, situation or look(execution.saga_id))
    except UnreadableRow:
        return [], [Refusal(gettext("Everything"), unreadable())]


def may(request: HttpRequest, act: Act, execution: SagaExecution) -> bool:
    """Whether the user may do it; who corrects also does what follows from that."""
    needed = {NEEDS[act]} | ({NEEDS[what_follows(execution)]} if act is Act.CORRECT else set())
    return all(request.user.has_perm(permission) for permission in needed)


def as_sentence(clause: str) -> str:
    """A refusal as a sentence of its own."""
    return f"{clause[:1].upper()}{clause[1:]}"


def unreadable() -> str:
    """Why nothing can be done to a row that somebody has damaged."""
    return gettext("What is stored of it cannot be read: it was changed by hand, or damaged.")


def _offered(request: HttpRequest, situation: Situation) -> tuple[list[Button], list[Refusal]]:
    execution, why_not = situation.execution, operations.refusals(situation)
    reasons = {act: as_sentence(why_not[act]) or _why_not_you(request, act, execution) for act in NAMES}
    possible = [act for act in NAMES if not reasons[act]]
    first = next((act for act in SAFE if act in possible), None)
    buttons = [_button(act, execution, primary=act is first) for act in possible]
    return buttons, [Refusal(name_of(act, execution), sentence) for act, sentence in reasons.items() if sentence]


def _why_not_you(request: HttpRequest, act: Act, execution: SagaExecution) -> str:
    return "" if may(request, act, execution) else gettext("Your role may not do this: ask a supervisor.")


def _button(act: Act, execution: SagaExecution, *, primary: bool) -> Button:
    url = reverse("admin:sagas_sagaexecution_act", args=[execution.pk, act.value])
    at_once = act in HARMLESS and not execution.held
    return Button(act.value, name_of(act, execution), url, primary, execution.version, at_once)
