"""How a step stands for people: what its history says, and which words go with that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Ending, Outcome, Resolution, SagaState
from sagas.engine.history import History, StepFacts
from sagas.models import SagaExecution

from .execution_view import ExecutionView


class StepStatus(StrEnum):
    """How a step stands, for people; the values are the API's words."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    NOT_COMPENSATED = "not_compensated"


@dataclass(frozen=True)
class Case:
    """A way in which a step can stand: its status, the key of its wording, if any, and the words without wording."""

    status: StepStatus
    sentence: Promise
    key: str = ""


NOT_BEGUN = Case(StepStatus.WAITING, _("%(step)s has not begun yet."))
NEVER_BEGUN = Case(StepStatus.WAITING, _("%(step)s was not begun."))
PARKED = Case(StepStatus.WAITING, _("%(step)s waits for a person to look at it."))
DOING = Case(StepStatus.RUNNING, _("%(step)s is under way."), "doing")
DOING_AGAIN = Case(StepStatus.RUNNING, _("%(step)s has not worked yet and is tried again."), "doing")
ACCEPTED = Case(StepStatus.RUNNING, _("%(step)s has been accepted and is not finished yet."), "doing")
DONE = Case(StepStatus.DONE, _("%(step)s is done."), "done")
SKIPPED = Case(StepStatus.DONE, _("%(step)s was not needed."))
REFUSED = Case(StepStatus.REFUSED, _("%(step)s was not done."), "refused")
IN_DOUBT = Case(StepStatus.IN_DOUBT, _("%(step)s may have been done or not; it is not known yet."), "in_doubt")
TO_UNDO = Case(StepStatus.COMPENSATING, _("%(step)s is going to be undone."))
UNDOING = Case(StepStatus.COMPENSATING, _("%(step)s is being undone."), "compensating")
UNDO_UNCERTAIN = Case(
    StepStatus.COMPENSATING, _("%(step)s may be undone or not; it is not known yet."), "compensation_in_doubt"
)
UNDO_PARKED = Case(StepStatus.COMPENSATING, _("%(step)s is to be undone and waits for a person to look at it."))
UNDONE = Case(StepStatus.COMPENSATED, _("%(step)s is undone."), "compensated")
SKIPPED_UNDONE = Case(StepStatus.COMPENSATED, _("%(step)s was not needed."))
NOT_UNDONE = Case(
    StepStatus.NOT_COMPENSATED, _("%(step)s could not be undone; a person has to see to it."), "not_compensated"
)
UNDO_IN_DOUBT = Case(
    StepStatus.NOT_COMPENSATED, _("%(step)s may be undone or not; a person has to find out."), "compensation_in_doubt"
)

RUNNING = frozenset({SagaState.PENDING, SagaState.IN_PROGRESS})


def case_of(view: ExecutionView, name: str) -> Case:
    """How the step stands, from what is known of it and from where the saga goes."""
    facts = view.facts[name]
    if facts.compensated:
        return _case_of_undone(view.history, name, facts)
    if view.rolling_back and facts.to_compensate and _has_undo(view.saga, name, facts):
        being_made = _in_hand(view) == (name, Direction.COMPENSATION)
        return _case_of_undo(view.execution, facts, being_made=being_made)
    if facts.done:
        return SKIPPED if _skipped(facts) else DONE
    if view.state in RUNNING and _in_hand(view) == (name, Direction.ACTION):
        return _case_of_turn(view.execution, facts)
    if facts.in_doubt:
        return IN_DOUBT
    if facts.resolved or Direction.ACTION in facts.last:
        return REFUSED
    return NOT_BEGUN if view.state in RUNNING else NEVER_BEGUN


def _case_of_undone(history: History, name: str, facts: StepFacts) -> Case:
    """A person may have said of a failed undo that the step is done and may stay."""
    last = next(past for past in reversed(history.attempts) if past.step == name)
    if last.resolution is Resolution.DONE:
        return DONE
    return SKIPPED_UNDONE if _skipped(facts) else UNDONE


def _has_undo(saga: Saga | None, name: str, facts: StepFacts) -> bool:
    """Where the definition is not known here, an attempt to undo it tells."""
    step = saga.step(name) if saga else None
    return step.compensation is not None if step else Direction.COMPENSATION in facts.last


def _case_of_undo(execution: SagaExecution, facts: StepFacts, *, being_made: bool) -> Case:
    if facts.compensation_ending is not Ending.NONE or execution.state is SagaState.PARTIALLY_COMPENSATED:
        return UNDO_IN_DOUBT if facts.compensation_in_doubt else NOT_UNDONE
    if facts.compensation_uncertain:
        return UNDO_UNCERTAIN
    if execution.held:
        return UNDO_PARKED
    return UNDOING if being_made else TO_UNDO


def _skipped(facts: StepFacts) -> bool:
    """Whether the step has reported that it had nothing to do."""
    return bool((facts.output or {}).get("skipped"))


def _case_of_turn(execution: SagaExecution, facts: StepFacts) -> Case:
    """The step that the saga is at, or would be if it were not held."""
    if facts.uncertain or (facts.in_doubt and execution.held):
        return IN_DOUBT
    if facts.in_doubt:
        return ACCEPTED
    if execution.held:
        return PARKED
    if Direction.ACTION in facts.last:
        return DOING_AGAIN
    return NOT_BEGUN if execution.state is SagaState.PENDING else DOING


def _in_hand(view: ExecutionView) -> tuple[str, Direction] | None:
    """The attempt that is made or comes next; where the definition is not known here, the last one tells."""
    if view.saga:
        attempt = view.next_attempt
        return (attempt.step.name, attempt.direction) if attempt else None
    last = view.history.attempts[-1] if view.history.attempts else None
    goes_on = last and last.ending is Ending.NONE and last.outcome is not Outcome.SUCCEEDED
    return (last.step, last.direction) if last and goes_on else None
