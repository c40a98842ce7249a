"""Make one attempt: call a step's function with its context and its deadline, and determine how it ended."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sagas.conf import get_settings
from sagas.definition import json_values
from sagas.definition.context import StepContext
from sagas.definition.exceptions import InvalidInput, OutcomeUnknown, StepFailed, StepTimeout, StillPending
from sagas.definition.saga import StepCall
from sagas.definition.states import Direction, Outcome
from sagas.models import StepRun, time_ordered_uuid
from sagas.storage import database

from .deadline import Deadline
from .error_classification import INTERRUPTIONS, Classification, classify, redacted_message
from .history import IN_DOUBT, facts_of, key_of, outputs
from .lease_renewal import WATCHDOG
from .leased_execution import LeasedExecution, copy_json
from .planner import Attempt
from .retry_policy import RetryDecision

Abandon = Callable[[LeasedExecution, Attempt, dt.datetime, Deadline], None]


@dataclass(frozen=True)
class AttemptResult:
    """How an attempt ended, the context after it, and the changes that it made to the context.

    `interruption` is raised once the attempt is written. `text` is the context as canonical JSON if it is encoded
    already. `discarded` is the context that a failed attempt left. `run_id` is the id for the step run, None = a new
    one.
    """

    classification: Classification
    started_at: dt.datetime
    context: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    interruption: BaseException | None = None
    text: str | None = None
    discarded: Mapping[str, Any] = field(default_factory=dict)
    run_id: uuid.UUID | None = None


def make_attempt(leased: LeasedExecution, attempt: Attempt, abandon: Abandon) -> AttemptResult:
    """Call the step's function and return how the call ended. No exception of the step is raised here.

    The time limit is the attempt's timeout, for a transactional step at most a third of the lease. `abandon` is called
    in another thread if the call does not end within the grace after that.
    """
    started_at = leased.now()
    # The transaction must end before the lease does: inside it, the heartbeat cannot renew the lease.
    seconds = min(attempt.timeout, get_settings().LEASE / 3) if attempt.in_transaction else attempt.timeout
    context = _context(leased, attempt, started_at + dt.timedelta(seconds=seconds))
    stuck = partial(abandon, leased, attempt, started_at)
    deadline, open_blocks = Deadline(seconds, get_settings().GRACE, stuck), database.inside_blocks()
    if leased.shared:
        WATCHDOG.add(deadline)
    try:
        returned = deadline.call(partial(_function(attempt), context))
        result = _result(leased, attempt, context, returned, started_at)
    except BaseException as error:  # noqa: BLE001  (StepTimeout and Ctrl-C end an attempt too, and are written)
        if isinstance(error, StepTimeout):
            database.drop_interrupted_connections(open_blocks)
        result = replace(_result_of_error(leased, attempt, error, deadline, started_at), discarded=context)
    finally:
        WATCHDOG.discard(deadline)
    return _without_open_transaction(leased, attempt, result)


def timed_out(leased: LeasedExecution, attempt: Attempt, started_at: dt.datetime) -> AttemptResult:
    """Return the result of an attempt that is stuck: a timeout, with the context unchanged."""
    return AttemptResult(_by_direction(attempt, classify(StepTimeout())), started_at, leased.context)


def new_step_run(
    leased: LeasedExecution,
    attempt: Attempt,
    result: AttemptResult,
    decision: RetryDecision,
    finished_at: dt.datetime,
) -> StepRun:
    """Return the unsaved row of this attempt, with a redacted error message."""
    error = result.classification.error
    contexts = leased.execution.input, leased.context, result.discarded
    return StepRun(
        id=result.run_id or time_ordered_uuid(),
        execution_id=leased.execution.pk,
        sequence=leased.execution.version + 1,
        step=attempt.step.name,
        direction=attempt.direction.value,
        run=leased.history.run,
        attempt=attempt.number,
        outcome=decision.outcome.value,
        output=result.classification.output,
        changes=result.changes,
        error_type=type(error).__name__[:100] if error else "",
        error_message=redacted_message(error, leased.saga, *contexts) if error else "",
        idempotency_key=attempt.key,
        started_at=result.started_at,
        finished_at=finished_at,
        worker=leased.execution.worker,
        ending=decision.ending.value,
        retry_at=decision.retry_at,
    )


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
    facts = facts_of(history)[name]
    after_action = attempt.direction is not Direction.ACTION
    # A pending compensation gets its own last output, any other attempt the output of the action.
    last = facts.last.get(Direction.COMPENSATION)
    pending = attempt.direction is Direction.COMPENSATION and last and last.outcome is Outcome.PENDING
    output = last.output if last and pending else facts.output
    return StepContext(
        copy_json(leased.context),
        saga_id=history.saga_id,
        step=name,
        attempt=attempt.number,
        run=history.run,
        idempotency_key=attempt.key,
        deadline=deadline,
        clock=leased.now,
        outputs={step: copy_json(given) for step, given in outputs(history).items() if step != name},
        output=copy_json(output),
        action_key=key_of(history, name, Direction.ACTION) if after_action else None,
        uncertain=facts.in_doubt,
    )


def _result(
    leased: LeasedExecution, attempt: Attempt, context: StepContext, returned: Any, started_at: dt.datetime
) -> AttemptResult:
    if attempt.direction is Direction.VERIFY and returned is None:
        return AttemptResult(Classification(Outcome.FAILED), started_at, leased.context)
    try:
        output = _stored_output(returned)
        text = json_values.to_json(dict(context) | (output or {}), limit=get_settings().MAX_CONTEXT_BYTES)
    except Exception as error:  # noqa: BLE001  (the effect is there; a mapping of the user's may raise anything)
        classification = _by_direction(attempt, Classification(Outcome.UNCERTAIN, error))
        return AttemptResult(classification, started_at, leased.context)
    new = json.loads(text)
    changes = json_values.changes_between(leased.context, new)
    return AttemptResult(Classification(Outcome.SUCCEEDED, output=output), started_at, new, changes, text=text)


def _result_of_error(
    leased: LeasedExecution, attempt: Attempt, error: BaseException, deadline: Deadline, started_at: dt.datetime
) -> AttemptResult:
    """Classify the error, with the output of StillPending or StepFailed.

    If that output cannot be stored, a refusal stays a refusal, and a pending step becomes uncertain.
    """
    classification = _by_direction(attempt, classify(error, get_settings().UNCERTAIN_EXCEPTIONS))
    reports = classification.refused or classification.outcome is Outcome.PENDING
    if reports and isinstance(error, (StillPending, StepFailed)):
        try:
            classification = replace(classification, output=_stored_output(error.output))
        except InvalidInput as invalid:
            in_doubt = Classification(Outcome.UNCERTAIN, invalid)
            classification = replace(classification, error=invalid) if classification.refused else in_doubt
    outer_deadline = isinstance(error, StepTimeout) and error.deadline not in (None, deadline)
    interruption = error if outer_deadline or isinstance(error, INTERRUPTIONS) else None
    return AttemptResult(classification, started_at, leased.context, interruption=interruption)


def _without_open_transaction(leased: LeasedExecution, attempt: Attempt, result: AttemptResult) -> AttemptResult:
    """Roll back a transaction that the step left open on our connection. A success becomes uncertain then."""
    if attempt.in_transaction or not leased.shared or not database.drop_open_transaction():
        return result
    if result.classification.outcome is not Outcome.SUCCEEDED:
        return result
    error = OutcomeUnknown("the step left a transaction open, which was rolled back")
    return AttemptResult(Classification(Outcome.UNCERTAIN, error), result.started_at, leased.context)


def _stored_output(returned: Any) -> dict[str, Any] | None:
    """Return the function's result as the database will return it. Raise InvalidInput if it cannot be stored."""
    if returned is None:
        return None
    if not isinstance(returned, Mapping):
        raise InvalidInput({"": f"a step returns a mapping or None, not a {type(returned).__name__}"})
    output: dict[str, Any] = json.loads(json_values.to_json(returned, limit=get_settings().MAX_CONTEXT_BYTES))
    return output


def _by_direction(attempt: Attempt, classification: Classification) -> Classification:
    """Adjust the outcome for `verify` and for transactional steps.

    An error of `verify` leaves the step in doubt. A failed transactional step had no effect, because its transaction is
    rolled back.
    """
    if attempt.direction is Direction.VERIFY:
        return replace(classification, outcome=Outcome.UNCERTAIN)
    if attempt.step.transactional and classification.outcome in IN_DOUBT:
        return replace(classification, outcome=Outcome.FAILED)
    return classification
