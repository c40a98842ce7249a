"""Classify what a step raised: which outcome the attempt has (promise 3).

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from sagas.definition import json_values, redaction
from sagas.definition.exceptions import OutcomeUnknown, RetryLater, StepFailed, StepTimeout, StillPending
from sagas.definition.saga import Saga
from sagas.definition.states import Outcome

NEVER_SENT = (
    ConnectionRefusedError,
    socket.gaierror,
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)
NEVER_SENT_BY_NAME = (
    "httpx.ConnectError",
    "httpx.ConnectTimeout",
    "httpx.PoolTimeout",
    "httpx.UnsupportedProtocol",
    "httpx.ProxyError",
)
# An interrupted call may have taken effect.
INTERRUPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit)
IN_DOUBT_ERRORS = (StepTimeout, OSError, HTTPException, *INTERRUPTIONS)
IN_DOUBT_BY_NAME = (
    "httpx.TransportError",
    "requests.RequestException",
    "urllib3.exceptions.HTTPError",
)


@dataclass(frozen=True)
class Classification:
    """How an attempt ended.

    `refused` means that no retry follows. `after` is the delay in seconds that the step asked for, None = the step's
    backoff decides. A FAILED verify without `error` means that the provider does not know the request.
    """

    outcome: Outcome
    error: BaseException | None = None
    output: dict[str, Any] | None = None
    refused: bool = False
    after: float | None = None

    @property
    def unavailable(self) -> bool:
        """Whether the provider is unavailable for now, because the step raised RetryLater."""
        return isinstance(self.error, RetryLater)


def classify(error: BaseException, uncertain_names: Sequence[str] = ()) -> Classification:
    """Return the outcome that follows from the exception of an attempt (promise 3).

    StepFailed is FAILED and refused; RetryLater is FAILED; StillPending is PENDING. OutcomeUnknown, timeouts and broken
    connections are UNCERTAIN, also as the cause of another exception. All others, including a connection that was never
    made, are FAILED. `uncertain_names` are dotted class names that the project adds to the UNCERTAIN ones.
    """
    if isinstance(error, StepFailed):
        return Classification(Outcome.FAILED, error, refused=True)
    if isinstance(error, RetryLater):
        return Classification(Outcome.FAILED, error, after=error.after)
    if isinstance(error, StillPending):
        return Classification(Outcome.PENDING, error, after=error.after)
    if isinstance(error, OutcomeUnknown) or _leaves_in_doubt(error, uncertain_names):
        return Classification(Outcome.UNCERTAIN, error)
    return Classification(Outcome.FAILED, error)


def redacted_message(error: BaseException, saga: Saga, *contexts: Mapping[str, Any]) -> str:
    """Return the text of the error without the personal values that `contexts` contain.

    Providers quote what they received. Returns a placeholder if the error's own `__str__` raises.
    """
    try:
        return json_values.clean_text(redaction.redact(str(error), saga.personal, *contexts))
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything)
        return "(its message could not be read)"


def _leaves_in_doubt(error: BaseException, uncertain_names: Sequence[str]) -> bool:
    names = (*IN_DOUBT_BY_NAME, *uncertain_names)
    for link in _chain(error):
        if _is_named(link, uncertain_names):
            return True
        if isinstance(link, NEVER_SENT) or _is_named(link, NEVER_SENT_BY_NAME):
            continue
        if isinstance(link, IN_DOUBT_ERRORS) or _is_named(link, names):
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes.

    An error that says that the request was never sent ends its chain: its causes say nothing about an effect.
    """
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if not _is_named(link, NEVER_SENT_BY_NAME):
            waiting += [cause for cause in (link.__cause__, link.__context__) if cause is not None]
            waiting += link.exceptions if isinstance(link, BaseExceptionGroup) else ()


def _is_named(error: BaseException, names: Sequence[str]) -> bool:
    """Return whether a class of the error has one of these dotted names.

    The class may be defined in a submodule of the named module.
    """
    for dotted in names:
        module, _, name = dotted.rpartition(".")
        for cls in type(error).__mro__:
            if cls.__qualname__ == name and (cls.__module__ == module or cls.__module__.startswith(module + ".")):
                return True
    return False
