"""Promise 3: what each exception says about the effect of the step."""

import datetime as dt
import http.client
import socket
import ssl

import pytest

from sagas import OutcomeUnknown, RetryLater, StepFailed, StepTimeout, StillPending
from sagas.definition.states import Ending, Outcome
from sagas.engine.error_classification import classify
from tests.support import Stage, run


def foreign(module: str, name: str, base: type[Exception] = Exception) -> type[Exception]:
    """Return a class that looks like a class of another library, which need not be installed."""
    return type(name, (base,), {"__module__": module})


HTTPX_TRANSPORT = foreign("httpx", "TransportError")
REQUESTS = foreign("requests.exceptions", "RequestException", OSError)
URLLIB3 = foreign("urllib3.exceptions", "HTTPError")
NAME_ERROR = socket.gaierror(-2, "Name or service not known")


def after(cause: BaseException, error: BaseException) -> BaseException:
    """Return `error` as raised from `cause`."""
    error.__cause__ = cause
    return error


def during(context: BaseException, error: BaseException) -> BaseException:
    """Return `error` as raised while `context` was handled."""
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad amount"),
        KeyError("sale_id"),
        AssertionError(),
        ConnectionRefusedError(),
        NAME_ERROR,
        FileNotFoundError(),
        FileExistsError(),
        PermissionError(),
        IsADirectoryError(),
        NotADirectoryError(),
        foreign("httpx", "ConnectError", HTTPX_TRANSPORT)(),
        foreign("httpx", "ConnectTimeout", HTTPX_TRANSPORT)(),
        foreign("httpx", "PoolTimeout", HTTPX_TRANSPORT)(),
        foreign("httpx", "UnsupportedProtocol", HTTPX_TRANSPORT)(),
        foreign("httpx", "ProxyError", HTTPX_TRANSPORT)(),
        foreign("httpx", "HTTPStatusError")(),
        foreign("ourpackage", "TransportError")(),
        foreign("httpxlike", "TransportError")(),
        after(ConnectionRefusedError(), ValueError("no connection")),
        after(KeyError("id"), ValueError("no id")),
        RetryLater(5),
        StepFailed("declined"),
    ],
    ids=repr,
)
def test_it_certainly_did_not_happen(error):
    assert classify(error).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "error",
    [
        StepTimeout(),
        OutcomeUnknown("the answer got lost"),
        OSError("broken"),
        TimeoutError(),
        ConnectionResetError(),
        BrokenPipeError(),
        ConnectionAbortedError(),
        ssl.SSLError(),
        http.client.HTTPException(),
        http.client.RemoteDisconnected(),
        http.client.IncompleteRead(b""),
        HTTPX_TRANSPORT(),
        foreign("httpx._exceptions", "ReadTimeout", HTTPX_TRANSPORT)(),
        foreign("httpx", "RemoteProtocolError", HTTPX_TRANSPORT)(),
        REQUESTS(),
        foreign("requests.exceptions", "ReadTimeout", REQUESTS)(),
        URLLIB3(),
        foreign("urllib3.exceptions", "ProtocolError", URLLIB3)(),
        after(TimeoutError(), ValueError("cannot read the answer")),
        during(ConnectionResetError(), KeyError("id")),
        during(after(TimeoutError(), KeyError("id")), ValueError()),
        during(TimeoutError(), ConnectionRefusedError()),
        after(HTTPX_TRANSPORT(), RuntimeError()),
    ],
    ids=repr,
)
def test_it_may_have_happened(error):
    assert classify(error).outcome is Outcome.UNCERTAIN


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StepFailed("declined"), Outcome.FAILED),
        (RetryLater(3), Outcome.FAILED),
        (StillPending(3), Outcome.PENDING),
        (OutcomeUnknown(), Outcome.UNCERTAIN),
    ],
    ids=repr,
)
@pytest.mark.parametrize("cause", [TimeoutError(), ConnectionRefusedError(), ValueError()], ids=repr)
def test_a_steps_own_word_means_what_it_says_whatever_caused_it(error, outcome, cause):
    assert classify(after(cause, error)).outcome is outcome


def test_an_exception_whose_chain_is_a_circle_is_classified():
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one

    assert classify(one).outcome is Outcome.FAILED


def test_the_settings_name_further_classes_that_leave_doubt():
    lost = foreign("provider.errors", "Lost")
    more_special = foreign("provider.errors", "LostForEver", lost)

    assert classify(lost()).outcome is Outcome.FAILED
    assert classify(lost(), ["provider.errors.Lost"]).outcome is Outcome.UNCERTAIN
    assert classify(more_special(), ["provider.errors.Lost"]).outcome is Outcome.UNCERTAIN
    assert classify(ConnectionRefusedError(), ["builtins.ConnectionRefusedError"]).outcome is Outcome.UNCERTAIN
    assert classify(lost(), ["errors.Lost"]).outcome is Outcome.FAILED


@pytest.mark.django_db
def test_a_refusal_may_report_what_a_person_needs_to_know(stage: Stage):
    until = dt.datetime(2030, 1, 2, 3, 4, tzinfo=dt.UTC)
    execution = run(stage.step("a", StepFailed("too late", output={"until": until})))

    attempt = execution.step_executions.get()
    assert (attempt.error_message, attempt.output) == ("too late", {"until": "2030-01-02T03:04:00+00:00"})
    assert "until" not in execution.context


@pytest.mark.django_db
@pytest.mark.parametrize("transactional", [False, True])
def test_a_refusal_with_an_output_that_cannot_be_stored_is_a_refusal(stage: Stage, transactional):
    execution = run(stage.step("a", StepFailed("no", output={"until": object()}), transactional=transactional))

    attempt = execution.step_executions.get()
    assert (attempt.outcome, attempt.ending, attempt.output) == (Outcome.FAILED, Ending.REFUSED, None)
    assert attempt.error_message == "until: is a object, which JSON cannot hold"


def test_a_steps_wait_is_a_number_of_seconds():
    with pytest.raises(ValueError) as error:
        RetryLater(float("nan"))
    assert str(error.value) == "after must be a number of seconds, not nan"

    assert RetryLater(-1).after == 0.0
    assert StillPending(float(10**12)).after == 366 * 86400.0
    assert str(RetryLater(2.5)) == "not possible now, retry in 2.5 s"
    assert str(StillPending(60)) == "accepted and not finished, ask again in 60 s"
