"""Convert the errors of providers to outcomes of steps."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from integrations import Pending
from integrations.exceptions import CompensationRefused, Kind, ProviderError
from sagas import OutcomeUnknown, RetryLater, StepContext, StepFailed, StillPending

Result = TypeVar("Result")
Output = Mapping[str, Any]

LONGEST_RETRY_DELAY = 60.0


def reports_outcome(step: Callable[[StepContext], Output]) -> Callable[[StepContext], Output]:
    """Decorate a step's function. Convert a ProviderError to the exception that reports the step's outcome."""

    @wraps(step)
    def reporting(context: StepContext) -> Output:
        try:
            return step(context)
        except ProviderError as error:
            raise _outcome(error, context) from error

    return reporting


def finished(result: Result | Pending) -> Result:
    """Return the provider's result. Raise StillPending, with the provider's id, if the result is pending."""
    if isinstance(result, Pending):
        raise StillPending(result.poll_after, output={"external_id": result.external_id})
    return result


def _outcome(error: ProviderError, context: StepContext) -> Exception:
    """Return the exception for the outcome. If the provider names no delay, retries wait 1, 2, 4, … seconds."""
    match error.kind:
        case Kind.REFUSED:
            until = error.until if isinstance(error, CompensationRefused) else None
            return StepFailed(str(error), output={"until": until} if until else None)
        case Kind.UNAVAILABLE | Kind.THROTTLED:
            delay = error.retry_after
            if delay is None:
                delay = float(min(2.0 ** min(context.attempt - 1, 10), LONGEST_RETRY_DELAY))
            return RetryLater(delay, str(error))
        case Kind.UNKNOWN:
            return OutcomeUnknown(str(error))
