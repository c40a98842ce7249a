"""Each provider error, and each unfinished result, becomes the right outcome of a step."""

import pytest

from integrations import Done, Pending
from integrations.exceptions import Kind, ProviderError
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA
from sagaproject.provider_errors import finished, reports_outcome
from sagas import OutcomeUnknown, RetryLater, StepFailed, StillPending
from tests.bookings.steps import Steps
from tests.support.bookings import PAYMENT


def outcome_of(kind: Kind, *, attempt: int = 1, retry_after: float | None = None) -> Exception:
    error = ProviderError(kind, "503", "It is closed", retry_after=retry_after)

    @reports_outcome
    def step(context):
        raise error

    with pytest.raises(Exception, match=r"^It is closed \(503\)$") as caught:
        step(Steps(COLLECT_PAYMENT_SAGA, PAYMENT).context("process_payment", "", attempt=attempt))
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (Kind.REFUSED, StepFailed),
        (Kind.UNAVAILABLE, RetryLater),
        (Kind.THROTTLED, RetryLater),
        (Kind.UNKNOWN, OutcomeUnknown),
    ],
)
def test_each_kind_of_error_has_its_outcome(kind, outcome):
    assert type(outcome_of(kind)) is outcome


@pytest.mark.parametrize("kind", Kind)
def test_no_kind_of_error_is_left_out(kind):
    assert isinstance(outcome_of(kind), StepFailed | RetryLater | OutcomeUnknown)


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.THROTTLED])
def test_a_provider_that_says_when_to_come_back_is_heard(kind):
    assert outcome_of(kind, attempt=3, retry_after=17.0).after == 17.0


@pytest.mark.parametrize(("attempt", "after"), [(1, 1.0), (2, 2.0), (3, 4.0), (7, 60.0), (5000, 60.0)])
def test_otherwise_each_retry_waits_longer(attempt, after):
    assert outcome_of(Kind.UNAVAILABLE, attempt=attempt).after == after


def test_what_a_provider_has_not_finished_is_still_pending():
    with pytest.raises(StillPending) as caught:
        finished(Pending("ref1", 5.0))

    assert (caught.value.after, caught.value.output) == (5.0, {"external_id": "ref1"})
    assert finished(Done("value")).value == "value"


def test_an_error_of_our_own_is_left_as_it_is():
    @reports_outcome
    def step(context):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step(None)
