"""Every public exception of this library, in two trees.

A step raises a `StepSignal` to report how its attempt ended::

    StepSignal
    ├── StepFailed        the step certainly had no effect, and a retry is useless
    ├── RetryLater        the step certainly had no effect; retry in `after` seconds
    ├── StillPending      the provider accepted the request and has not finished; ask again in `after` seconds
    └── OutcomeUnknown    the step may have taken effect

This library raises a `SagaError`::

    SagaError
    ├── DefinitionError   (ValueError)   a Saga or SagaStep has a bad value
    ├── InvalidInput      (ValueError)   a context or argument is not valid or cannot be stored
    ├── UnknownSaga       (LookupError)  no saga of that name is registered
    ├── UnknownExecution  (LookupError)  no execution has that id
    ├── SagaConflict                     the id belongs to an execution with another saga or input
    ├── ActRefused                       the execution's state does not allow the operation
    │   ├── VersionMoved                 the execution has changed since the operation was prepared
    │   └── CorrectionOnly               the input was corrected, but the retry after it was refused
    ├── UnreadableRow     (ValueError)   a column holds a value that this code does not write
    ├── InsideTransaction                an inline run was requested inside an open transaction
    └── SettingsError                    settings.SAGAS has an unknown key or a bad value

`StepTimeout` is a BaseException, so that a step's `except Exception` does not swallow it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_WAIT = 366 * 86400.0


class StepSignal(Exception):
    """Base of the exceptions that a step raises to report how its attempt ended."""


class StepFailed(StepSignal):
    """The step certainly had no effect, and a retry is useless. Example: a declined card.

    `output` has values for the templates of the step, for example a deadline that people need to know.
    """

    def __init__(self, *args: object, output: Mapping[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.output = output


class RetryLater(StepSignal):
    """The step certainly had no effect; retry in `after` seconds. This spends a retry."""

    def __init__(self, after: float, message: str = "") -> None:
        self.after = _seconds(after)
        super().__init__(message or f"not possible now, retry in {self.after:g} s")


class StillPending(StepSignal):
    """The provider accepted the request and has not finished. Ask again in `after` seconds.

    `output` has the known values, for example the provider's id. The next attempt reads them from `context.output`.
    """

    def __init__(self, after: float, output: Mapping[str, Any] | None = None) -> None:
        self.after = _seconds(after)
        super().__init__(f"accepted and not finished, ask again in {self.after:g} s")
        self.output = output


class OutcomeUnknown(StepSignal):
    """The step may have taken effect. Raise this for any error after the request was sent."""


class StepTimeout(BaseException):
    """The attempt has reached its timeout. A step may catch this exception for clean-up, and must raise it again."""

    def __init__(self, message: str = "the attempt took longer than its timeout", deadline: object = None) -> None:
        super().__init__(message)
        self.deadline = deadline


class SagaError(Exception):
    """Base of the exceptions that this library raises."""


class DefinitionError(SagaError, ValueError):
    """A Saga or SagaStep has a bad value. The message names the field and the cure."""


class InvalidInput(SagaError, ValueError):
    """Input is not valid or cannot be stored. `errors` maps dotted keys to sentences."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {sentence}" if key else sentence for key, sentence in errors.items()))
        self.errors = dict(errors)


class UnknownSaga(SagaError, LookupError):
    """No saga of that name is registered."""

    def __init__(self, saga_name: str, known: Iterable[str] = ()) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"No saga named {saga_name!r} is registered (registered: {names}).")
        self.saga_name = saga_name


class UnknownExecution(SagaError, LookupError):
    """No execution has that id."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"There is no execution {saga_id!r}.")
        self.saga_id = saga_id


class SagaConflict(SagaError):
    """The id belongs to an execution that was started with another saga or input."""

    def __init__(self, saga_id: str, saga_name: str) -> None:
        super().__init__(f"{saga_id!r} is already a {saga_name} execution with other input; use a new id.")
        self.saga_id = saga_id
        self.saga_name = saga_name


class ActRefused(SagaError):
    """The state of the execution does not allow the operation. `allowed` has the names of the allowed operations."""

    def __init__(self, operation: str, saga_id: str, sentence: str, allowed: Iterable[str] = ()) -> None:
        self.operation, self.saga_id, self.sentence, self.allowed = operation, saga_id, sentence, tuple(allowed)
        possible = f" Possible now: {', '.join(self.allowed)}." if self.allowed else ""
        super().__init__(f"{operation} of {saga_id!r} is not possible: {sentence}{possible}")


class VersionMoved(ActRefused):
    """The execution has changed since the operation was prepared."""


class CorrectionOnly(ActRefused):
    """The input was corrected, but the retry or release after it was refused. The message says both."""


class UnreadableRow(SagaError, ValueError):
    """A column has a value that this code does not write. The message omits the value, because it may be personal."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"The column {column} cannot be read: {problem}.")
        self.column = column


class InsideTransaction(SagaError):
    """An inline run was requested inside an open transaction, which would stay open during provider calls."""

    def __init__(self, call: str) -> None:
        super().__init__(
            f"{call} runs steps and must not be called inside an open transaction; "
            "use start(), which joins it, or call it after the commit."
        )


class SettingsError(SagaError):
    """settings.SAGAS has an unknown key or a bad value. The message names the key and the cure."""


def _seconds(after: float) -> float:
    """Check the wait that a step requests, and limit it to between 0 and LONGEST_WAIT seconds."""
    if not math.isfinite(after):
        raise ValueError(f"after must be a number of seconds, not {after!r}")
    return min(max(0.0, float(after)), LONGEST_WAIT)
