"""Determine the status of each step, and the sentence that describes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Direction, Ending, Outcome, Resolution, SagaState
from sagas.engine.history import StepFacts
from sagas.models import SagaExecution

from .execution_view import ExecutionView


class StepStatus(StrEnum):
    """The status of a step. The API returns these values."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    NOT_COMPENSATED = "not_compensated"


@dataclass(frozen=True)
class StepDescription:
    """A status and the sentence that describes it. A step's wording can replace the sentence under `key`."""

    status: StepStatus
    sentence: Promise
    key: str = ""


NOT_STARTED = StepDescription(StepStatus.WAITING, _("%(step)s has not started yet."))
NEVER_STARTED = StepDescription(StepStatus.WAITING, _("%(step)s was not started."))
ON_HOLD = StepDescription(StepStatus.WAITING, _("%(step)s is on hold."))
UNDER_WAY = StepDescription(StepStatus.RUNNING, _("%(step)s is under way."), "doing")
RETRYING = StepDescription(StepStatus.RUNNING, _("%(step)s has not worked yet and will be tried again."), "doing")
ACCEPTED = StepDescription(StepStatus.RUNNING, _("%(step)s has been accepted and is not finished yet."), "doing")
DONE = StepDescription(StepStatus.DONE, _("%(step)s is done."), "done")
SKIPPED = StepDescription(StepStatus.DONE, _("%(step)s was not needed."))
REFUSED = StepDescription(StepStatus.REFUSED, _("%(step)s was not done."), "refused")
IN_DOUBT = StepDescription(StepStatus.IN_DOUBT, _("We don't know yet whether %(step)s was done."), "in_doubt")
TO_COMPENSATE = StepDescription(StepStatus.COMPENSATING, _("%(step)s will be undone."))
COMPENSATING = StepDescription(StepStatus.COMPENSATING, _("%(step)s is being undone."), "compensating")
COMPENSATION_UNCERTAIN = StepDescription(
    StepStatus.COMPENSATING, _("We don't know yet whether %(step)s was undone."), "compensation_in_doubt"
)
COMPENSATION_ON_HOLD = StepDescription(StepStatus.COMPENSATING, _("%(step)s should be undone; this is on hold."))
COMPENSATED = StepDescription(StepStatus.COMPENSATED, _("%(step)s is undone."), "compensated")
SKIPPED_COMPENSATED = StepDescription(StepStatus.COMPENSATED, _("%(step)s was not needed."))
NOT_COMPENSATED = StepDescription(
    StepStatus.NOT_COMPENSATED, _("%(step)s could not be undone. Someone must see to it."), "not_compensated"
)
COMPENSATION_IN_DOUBT = StepDescription(
    StepStatus.NOT_COMPENSATED,
    _("We don't know whether %(step)s was undone. Someone must check."),
    "compensation_in_doubt",
)

BEFORE_ROLLBACK = frozenset({SagaState.PENDING, SagaState.IN_PROGRESS})


def describe_step(view: ExecutionView, name: str) -> StepDescription:
    """Return the status of a planned step, and the sentence that describes it.

    Depends on the history and on the state of the execution. Works also if the saga or the step is not defined any
    more. Raises KeyError if the step is not in the plan of the run.
    """
    facts = view.facts[name]
    if facts.compensated:
        # After a failed compensation, an operator may have resolved the step as done. Then its effect stays.
        last = next(past for past in reversed(view.history.attempts) if past.step == name)
        if last.resolution is Resolution.DONE:
            return DONE
        return SKIPPED_COMPENSATED if _skipped(facts) else COMPENSATED
    step = view.step(name)
    # If the definition is missing, an earlier compensation attempt shows that the step has a compensation.
    has_compensation = step.compensation is not None if step else Direction.COMPENSATION in facts.last
    if view.rolling_back and facts.to_compensate and has_compensation:
        running = _current_attempt(view) == (name, Direction.COMPENSATION)
        return _describe_compensation(view.execution, facts, running=running)
    if facts.done:
        return SKIPPED if _skipped(facts) else DONE
    if view.state in BEFORE_ROLLBACK and _current_attempt(view) == (name, Direction.ACTION):
        return _describe_current(view.execution, facts)
    if facts.in_doubt:
        return IN_DOUBT
    if facts.resolved or Direction.ACTION in facts.last:
        return REFUSED
    return NOT_STARTED if view.state in BEFORE_ROLLBACK else NEVER_STARTED


def _describe_compensation(execution: SagaExecution, facts: StepFacts, *, running: bool) -> StepDescription:
    if facts.compensation_ending is not Ending.NONE or execution.state is SagaState.PARTIALLY_COMPENSATED:
        return COMPENSATION_IN_DOUBT if facts.compensation_in_doubt else NOT_COMPENSATED
    if facts.compensation_uncertain:
        return COMPENSATION_UNCERTAIN
    if execution.held:
        return COMPENSATION_ON_HOLD
    return COMPENSATING if running else TO_COMPENSATE


def _skipped(facts: StepFacts) -> bool:
    """Return whether the step reported that it had nothing to do."""
    return bool((facts.output or {}).get("skipped"))


def _describe_current(execution: SagaExecution, facts: StepFacts) -> StepDescription:
    """Describe the current step. If the execution is held, the current step is the one that runs after a release."""
    if facts.uncertain or (facts.in_doubt and execution.held):
        return IN_DOUBT
    if facts.in_doubt:
        return ACCEPTED
    if execution.held:
        return ON_HOLD
    if Direction.ACTION in facts.last:
        return RETRYING
    return NOT_STARTED if execution.state is SagaState.PENDING else UNDER_WAY


def _current_attempt(view: ExecutionView) -> tuple[str, Direction] | None:
    """Return step and direction of the running or next attempt.

    If the definition is missing, return the last attempt, unless it succeeded or was final.
    """
    if view.saga:
        attempt = view.next_attempt
        return (attempt.step.name, attempt.direction) if attempt else None
    last = view.history.attempts[-1] if view.history.attempts else None
    goes_on = last and last.ending is Ending.NONE and last.outcome is not Outcome.SUCCEEDED
    return (last.step, last.direction) if last and goes_on else None
