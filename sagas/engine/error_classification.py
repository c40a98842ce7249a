"""What an exception from a step means: it did not happen, it may have, or the step said so itself (promise 3)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from sagas.definition.exceptions import OutcomeUnknown, RetryLater, StepFailed, StepTimeout, StillPending
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
# An interrupted call is one whose effect nobody saw.
INTERRUPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit)
MAY_HAVE_HAPPENED = (StepTimeout, OSError, HTTPException, *INTERRUPTIONS)
MAY_HAVE_HAPPENED_BY_NAME = (
    "httpx.TransportError",
    "requests.RequestException",
    "urllib3.exceptions.HTTPError",
)


@dataclass(frozen=True)
class Classification:
    """How an attempt ended. `after` is in seconds, None where the step's own backoff decides."""

    outcome: Outcome
    error: BaseException | None = None
    output: dict[str, Any] | None = None
    refused: bool = False
    after: float | None = None

    @property
    def unavailable(self) -> bool:
        """It was turned away for now, by RetryLater."""
        return isinstance(self.error, RetryLater)


def classify(error: BaseException, uncertain_names: Sequence[str] = ()) -> Classification:
    """How an attempt that raised `error` ended; `uncertain_names` are dotted class names of the settings."""
    if isinstance(error, StepFailed):
        return Classification(Outcome.FAILED, error, refused=True)
    if isinstance(error, RetryLater):
        return Classification(Outcome.FAILED, error, after=error.after)
    if isinstance(error, StillPending):
        return Classification(Outcome.PENDING, error, after=error.after)
    if isinstance(error, OutcomeUnknown) or _may_have_happened(error, uncertain_names):
        return Classification(Outcome.UNCERTAIN, error)
    return Classification(Outcome.FAILED, error)


def _may_have_happened(error: BaseException, uncertain_names: Sequence[str]) -> bool:
    names = (*MAY_HAVE_HAPPENED_BY_NAME, *uncertain_names)
    for link in _chain(error):
        if _is_named(link, uncertain_names):
            return True
        if isinstance(link, NEVER_SENT) or _is_named(link, NEVER_SENT_BY_NAME):
            continue
        if isinstance(link, MAY_HAVE_HAPPENED) or _is_named(link, names):
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it; what led to a call that was never sent says nothing about the call."""
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
    return any(_has_name(cls, name) for cls in type(error).__mro__ for name in names)


def _has_name(cls: type, dotted: str) -> bool:
    """Whether `dotted` names the class where it is defined or where a parent package offers it."""
    module, _, name = dotted.rpartition(".")
    return cls.__qualname__ == name and (cls.__module__ == module or cls.__module__.startswith(module + "."))
