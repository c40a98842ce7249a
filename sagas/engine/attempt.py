"""One call of a step's function: its context, its deadline, and how it ended."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sagas.conf import get_settings
from sagas.definition import json_values
from sagas.definition.exceptions import InvalidInput, OutcomeUnknown, StepFailed, StepTimeout, StillPending
from sagas.definition.saga import StepCall, StepContext
from sagas.definition.states import Direction, Outcome
from sagas.storage import database

from .deadline import Deadline
from .error_classification import INTERRUPTIONS, Classification, classify
from .history import IN_DOUBT, StepFacts, facts_of, key_of, outputs
from .lease_renewal import WATCHDOG
from .leased_execution import LeasedExecution, copy_json
from .planner import Attempt

Abandon = Callable[[LeasedExecution, Attempt, dt.datetime, Deadline], None]


@dataclass(frozen=True)
class AttemptResult:
    """How an attempt ended, and what it changed in the context; `passed_on` is to be raised once it is filed.

    `text` is the context as canonical JSON, where it has been made already; `written` is the context as a failed
    attempt left it, which is not kept.
    """

    ended: Classification
    started_at: dt.datetime
    context: dict[str, Any]
    changes: dict[str, Any]
    passed_on: BaseException | None = None
    text: str | None = None
    written: Mapping[str, Any] | None = None


def make_attempt(leased: LeasedExecution, attempt: Attempt, abandon: Abandon) -> AttemptResult:
    """Call the step's function within its timeout; `abandon` is called if it gets stuck."""
    started_at = leased.now()
    seconds = _seconds(attempt)
    context = _context(leased, attempt, started_at + dt.timedelta(seconds=seconds))
    stuck = partial(abandon, leased, attempt, started_at)
    deadline, inside = Deadline(seconds, get_settings().GRACE, stuck), database.inside_blocks()
    if leased.shared:
        WATCHDOG.add(deadline)
    try:
        returned = deadline.call(partial(_function(attempt), context))
        result = _result(leased, attempt, context, returned, started_at)
    except BaseException as error:  # noqa: BLE001  (StepTimeout and Ctrl-C end an attempt too, and are filed)
        if isinstance(error, StepTimeout):
            database.drop_interrupted_connections(inside)
        result = replace(_result_of_error(leased, attempt, error, deadline, started_at), written=context)
    finally:
        WATCHDOG.discard(deadline)
    return _without_open_transaction(leased, attempt, result)


def timed_out(leased: LeasedExecution, attempt: Attempt, started_at: dt.datetime) -> AttemptResult:
    """The result of an attempt that does not come back."""
    ended = _as_its_direction_means(attempt, classify(StepTimeout()))
    return AttemptResult(ended, started_at, leased.context, {})


def _seconds(attempt: Attempt) -> float:
    """A transaction must not outlive the lease, which nobody can renew for it."""
    if attempt.step.transactional and attempt.direction is not Direction.VERIFY:
        return min(attempt.timeout, get_settings().LEASE / 3)
    return attempt.timeout


def _function(attempt: Attempt) -> StepCall:
    step = attempt.step
    functions = {
        Direction.ACTION: step.action,
        Direction.COMPENSATION: step.compensation,
        Direction.VERIFY: step.verify,
    }
    function = functions[attempt.direction]
    if function is None:
        raise TypeError(f"step {step.name!r} has no {attempt.direction}")
    return function


def _context(leased: LeasedExecution, attempt: Attempt, deadline: dt.datetime) -> StepContext:
    history, name = leased.history, attempt.step.name
    view = facts_of(history)[name]
    after_action = attempt.direction is not Direction.ACTION
    return StepContext(
        leased.context_copy(),
        saga_id=history.saga_id,
        step=name,
        attempt=attempt.number,
        run=history.run,
        idempotency_key=attempt.key,
        deadline=deadline,
        clock=leased.now,
        outputs={step: copy_json(output) for step, output in outputs(history).items() if step != name},
        output=copy_json(_output(attempt, view)),
        action_key=key_of(history, name, Direction.ACTION) if after_action else None,
        uncertain=view.in_doubt,
    )


def _output(attempt: Attempt, view: StepFacts) -> Mapping[str, Any] | None:
    """What the step last reported; a pending undo reports for itself."""
    last = view.last.get(Direction.COMPENSATION)
    if attempt.direction is Direction.COMPENSATION and last and last.outcome is Outcome.PENDING:
        return last.output
    return view.output


def _result(
    leased: LeasedExecution, attempt: Attempt, context: StepContext, returned: Any, started_at: dt.datetime
) -> AttemptResult:
    if attempt.direction is Direction.VERIFY and returned is None:
        return AttemptResult(Classification(Outcome.FAILED), started_at, leased.context, {})
    try:
        output = _stored_output(returned)
        text = json_values.to_json(dict(context) | (output or {}), limit=get_settings().MAX_CONTEXT_BYTES)
    except Exception as error:  # noqa: BLE001  (the effect is there; what a strange mapping raises is not its failure)
        ended = _as_its_direction_means(attempt, Classification(Outcome.UNCERTAIN, error))
        return AttemptResult(ended, started_at, leased.context, {})
    new = json.loads(text)
    changes = json_values.changes_between(leased.context, new)
    return AttemptResult(Classification(Outcome.SUCCEEDED, output=output), started_at, new, changes, text=text)


def _result_of_error(
    leased: LeasedExecution, attempt: Attempt, error: BaseException, deadline: Deadline, started_at: dt.datetime
) -> AttemptResult:
    ended = _as_its_direction_means(attempt, classify(error, get_settings().UNCERTAIN_EXCEPTIONS))
    from_around_us = isinstance(error, StepTimeout) and error.deadline not in (None, deadline)
    passed_on = error if from_around_us or isinstance(error, INTERRUPTIONS) else None
    return AttemptResult(_with_output(ended), started_at, leased.context, {}, passed_on)


def _without_open_transaction(leased: LeasedExecution, attempt: Attempt, result: AttemptResult) -> AttemptResult:
    """A step that left a transaction open on our connection loses it, and what it did there is in doubt."""
    in_ours = attempt.step.transactional and attempt.direction is not Direction.VERIFY
    if in_ours or not leased.shared or not database.drop_open_transaction():
        return result
    if result.ended.outcome is not Outcome.SUCCEEDED:
        return result
    ended = Classification(Outcome.UNCERTAIN, OutcomeUnknown("the step left a transaction open, which was rolled back"))
    return AttemptResult(ended, result.started_at, leased.context, {})


def _stored_output(returned: Any) -> dict[str, Any] | None:
    """What the function returned, as it will be read again."""
    if returned is None:
        return None
    if not isinstance(returned, Mapping):
        raise InvalidInput({"": f"a step returns a mapping or None, not a {type(returned).__name__}"})
    output: dict[str, Any] = json.loads(json_values.to_json(returned, limit=get_settings().MAX_CONTEXT_BYTES))
    return output


def _with_output(ended: Classification) -> Classification:
    """StillPending and StepFailed may say what is known; what cannot be stored leaves in doubt what is not refused."""
    speaks = ended.refused or ended.outcome is Outcome.PENDING
    if not isinstance(ended.error, (StillPending, StepFailed)) or not speaks:
        return ended
    try:
        return replace(ended, output=_stored_output(ended.error.output))
    except InvalidInput as error:
        return replace(ended, error=error) if ended.refused else Classification(Outcome.UNCERTAIN, error)


def _as_its_direction_means(attempt: Attempt, ended: Classification) -> Classification:
    """Whatever `verify` raises means that it does not know; a rolled back transaction has certainly done nothing."""
    if attempt.direction is Direction.VERIFY:
        return replace(ended, outcome=Outcome.UNCERTAIN)
    if attempt.step.transactional and ended.outcome in IN_DOUBT:
        return replace(ended, outcome=Outcome.FAILED)
    return ended
