"""How a step stands for people: what its history says, and which words go with that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Ending, Outcome, Resolution, SagaState
from sagas.engine import planner
from sagas.engine.history import History, StepFacts, facts_of
from sagas.models import SagaExecution


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
ROLLING_BACK = frozenset({SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED})


def case_of(execution: SagaExecution, saga: Saga | None, history: History, name: str) -> Case:
    """How the step stands, from what is known of it and from where the saga goes."""
    view, state = facts_of(history)[name], execution.state
    if view.compensated:
        return _case_of_undone(history, name, view)
    if state in ROLLING_BACK and view.to_compensate and _has_undo(saga, name, view):
        return _case_of_undo(execution, view, being_made=_in_hand(saga, history) == (name, Direction.COMPENSATION))
    if view.done:
        return SKIPPED if _skipped(view) else DONE
    if state in RUNNING and _in_hand(saga, history) == (name, Direction.ACTION):
        return _case_of_turn(execution, view)
    if view.in_doubt:
        return IN_DOUBT
    if view.resolved or Direction.ACTION in view.last:
        return REFUSED
    return NOT_BEGUN if state in RUNNING else NEVER_BEGUN


def _case_of_undone(history: History, name: str, view: StepFacts) -> Case:
    """A person may have said of a failed undo that the step is done and may stay."""
    last = next(past for past in reversed(history.attempts) if past.step == name)
    if last.resolution is Resolution.DONE:
        return DONE
    return SKIPPED_UNDONE if _skipped(view) else UNDONE


def _has_undo(saga: Saga | None, name: str, view: StepFacts) -> bool:
    """Where the definition is not known here, an attempt to undo it tells."""
    step = saga.step(name) if saga else None
    return step.compensation is not None if step else Direction.COMPENSATION in view.last


def _case_of_undo(execution: SagaExecution, view: StepFacts, *, being_made: bool) -> Case:
    if view.compensation_ending is not Ending.NONE or execution.state is SagaState.PARTIALLY_COMPENSATED:
        return UNDO_IN_DOUBT if view.compensation_in_doubt else NOT_UNDONE
    if view.compensation_uncertain:
        return UNDO_UNCERTAIN
    if execution.held:
        return UNDO_PARKED
    return UNDOING if being_made else TO_UNDO


def _skipped(view: StepFacts) -> bool:
    """Whether the step has reported that it had nothing to do."""
    return bool((view.output or {}).get("skipped"))


def _case_of_turn(execution: SagaExecution, view: StepFacts) -> Case:
    """The step that the saga is at, or would be if it were not held."""
    if view.uncertain or (view.in_doubt and execution.held):
        return IN_DOUBT
    if view.in_doubt:
        return ACCEPTED
    if execution.held:
        return PARKED
    if Direction.ACTION in view.last:
        return DOING_AGAIN
    return NOT_BEGUN if execution.state is SagaState.PENDING else DOING


def _in_hand(saga: Saga | None, history: History) -> tuple[str, Direction] | None:
    """The attempt that is made or comes next; where the definition is not known here, the last one tells."""
    if saga:
        attempt = planner.in_flight(saga, history)
        return (attempt.step.name, attempt.direction) if attempt else None
    last = history.attempts[-1] if history.attempts else None
    goes_on = last and last.ending is Ending.NONE and last.outcome is not Outcome.SUCCEEDED
    return (last.step, last.direction) if last and goes_on else None
