"""Everything that is raised, in one tree.

What a step may raise to say how its attempt ended (`StepSignal`)::

    StepSignal
    ├── StepFailed        it certainly did not happen, and trying again is useless
    ├── RetryLater        it certainly did not happen; try again in `after` seconds
    ├── StillPending      the provider has accepted it and not finished; ask again in `after` seconds
    └── OutcomeUnknown    it may have happened

What we raise at callers (`SagaError`)::

    SagaError
    ├── DefinitionError   (ValueError)   a Saga or SagaStep that cannot work
    ├── InvalidInput      (ValueError)   a context or argument that cannot be stored or does not validate
    ├── UnknownSaga       (LookupError)  no saga of that name is registered
    ├── UnknownExecution  (LookupError)  no execution has that id
    ├── SagaConflict                     the id is taken by a saga with another name or input
    ├── ActRefused                       the execution's state does not allow the act
    │   ├── ActOutdated              it was meant for a version that is behind it
    │   └── ActHalfDone              the first of two acts went through, and this one, the second, did not
    ├── UnreadableRow     (ValueError)   a stored value is not what we write
    ├── InsideTransaction                an inline run was asked for inside an open transaction
    └── SettingsError                    settings.SAGAS has a key or value that we do not know

`StepTimeout` stands apart: a BaseException, so that a step's `except Exception` cannot swallow it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_WAIT = 366 * 86400.0


class StepSignal(Exception):
    """A step's own word on how its attempt ended."""


class StepFailed(StepSignal):
    """The step certainly did not take effect, and trying again is useless (a declined card).

    `output` is what a person may need to know of it, such as a deadline; the step's wording can be filled from it.
    """

    def __init__(self, *args: object, output: Mapping[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.output = output


class RetryLater(StepSignal):
    """The step certainly did not take effect; try again in `after` seconds. It spends a retry."""

    def __init__(self, after: float, message: str = "") -> None:
        self.after = _seconds(after)
        super().__init__(message or f"not possible now, to be tried again in {self.after:g} s")


class StillPending(StepSignal):
    """The provider has accepted the step and not finished; ask again in `after` seconds.

    `output` is what is known so far; the next attempt finds it in `context.output`.
    """

    def __init__(self, after: float, output: Mapping[str, Any] | None = None) -> None:
        self.after = _seconds(after)
        super().__init__(f"accepted and not finished, to be asked again in {self.after:g} s")
        self.output = output


class OutcomeUnknown(StepSignal):
    """The step may have taken effect: raise it for whatever goes wrong after the effect was asked for."""


class StepTimeout(BaseException):
    """The attempt's time is over. May be caught for clean-up, must be re-raised."""

    def __init__(self, message: str = "the attempt took longer than its timeout", deadline: object = None) -> None:
        super().__init__(message)
        self.deadline = deadline


class SagaError(Exception):
    """Base of what this library raises at its callers."""


class DefinitionError(SagaError, ValueError):
    """A Saga or a SagaStep that cannot work; the text names the field and the cure."""


class InvalidInput(SagaError, ValueError):
    """Input that does not validate or cannot be stored; `errors` maps a dotted key to a sentence."""

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
    """The id is taken by a saga that was started with another name or input."""

    def __init__(self, saga_id: str, saga_name: str) -> None:
        super().__init__(f"{saga_id!r} already names a {saga_name} saga started with other input; use a new id.")
        self.saga_id = saga_id
        self.saga_name = saga_name


class ActRefused(SagaError):
    """The execution's state does not allow the act; `allowed` names the acts that it does allow."""

    def __init__(self, operation: str, saga_id: str, sentence: str, allowed: Iterable[str] = ()) -> None:
        self.operation, self.saga_id, self.sentence, self.allowed = operation, saga_id, sentence, tuple(allowed)
        possible = f" Possible now: {', '.join(self.allowed)}." if self.allowed else ""
        super().__init__(f"{operation} of {saga_id!r} is not possible: {sentence}{possible}")


class VersionMoved(ActRefused):
    """The act was meant for a version that the execution has left behind."""


class CorrectionOnly(ActRefused):
    """The first of two acts went through, and the second did not; the sentence says both."""


class UnreadableRow(SagaError, ValueError):
    """A column holds what we do not write: it was changed by hand, or damaged. Its text is not repeated."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"The column {column} cannot be read: {problem}.")
        self.column = column


class InsideTransaction(SagaError):
    """An inline run would hold a transaction open while providers are called."""

    def __init__(self, call: str) -> None:
        super().__init__(
            f"{call} runs steps and must not be called inside an open transaction; "
            "use start(), which joins it, or call it after the commit."
        )


class SettingsError(SagaError):
    """settings.SAGAS has a key or a value that we do not know; the text names it and the cure."""


def _seconds(after: float) -> float:
    """A wait that a step asks for; at most LONGEST_WAIT, never below 0."""
    if not math.isfinite(after):
        raise ValueError(f"after must be a number of seconds, not {after!r}")
    return min(max(0.0, float(after)), LONGEST_WAIT)
