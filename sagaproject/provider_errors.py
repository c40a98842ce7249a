"""Map the errors of providers to the outcomes of steps."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from integrations.exceptions import CompensationRefused, Kind, ProviderError
from integrations.results import Pending
from sagas import OutcomeUnknown, RetryLater, StepContext, StepFailed, StillPending

Result = TypeVar("Result")
Output = Mapping[str, Any]

LONGEST_RETRY_DELAY = 60.0


def reports_outcome(step: Callable[[StepContext], Output]) -> Callable[[StepContext], Output]:
    """Decorate a step's function: a ProviderError becomes the outcome that OUTCOMES names."""

    @wraps(step)
    def reporting(context: StepContext) -> Output:
        try:
            return step(context)
        except ProviderError as error:
            raise OUTCOMES[error.kind](error, context) from error

    return reporting


def finished(result: Result | Pending) -> Result:
    """Return the provider's result. Raises StillPending, with the provider's id, while it is pending."""
    if isinstance(result, Pending):
        raise StillPending(result.poll_after, output={"external_id": result.external_id})
    return result


def _fail(error: ProviderError, _: StepContext) -> Exception:
    until = error.until if isinstance(error, CompensationRefused) else None
    return StepFailed(str(error), output={"until": until} if until else None)


def _retry(error: ProviderError, context: StepContext) -> Exception:
    return RetryLater(_retry_delay(error, context), str(error))


def _in_doubt(error: ProviderError, _: StepContext) -> Exception:
    return OutcomeUnknown(str(error))


def _retry_delay(error: ProviderError, context: StepContext) -> float:
    """Return the delay in seconds: the provider's own, or 1, 2, 4, … by attempt."""
    if error.retry_after is not None:
        return error.retry_after
    return float(min(2.0 ** min(context.attempt - 1, 10), LONGEST_RETRY_DELAY))


OUTCOMES: dict[Kind, Callable[[ProviderError, StepContext], Exception]] = {
    Kind.REFUSED: _fail,
    Kind.UNAVAILABLE: _retry,
    Kind.THROTTLED: _retry,
    Kind.UNKNOWN: _in_doubt,
}
