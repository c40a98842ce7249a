"""The exit codes of all commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from sagas.definition.exceptions import (
    ActRefused,
    DefinitionError,
    InsideTransaction,
    InvalidInput,
    SagaConflict,
    UnknownExecution,
    UnknownSaga,
)


class Exit(IntEnum):
    """The exit codes. The documentation lists them, so their numbers must not change."""

    SUCCEEDED = 0
    ERROR = 1
    REFUSED = 2
    UNDONE = 3
    NEEDS_A_PERSON = 4
    GOES_ON = 5
    CONFLICT = 6
    INTERRUPTED = 130


# Commands raise these errors before they start or change anything. Every other error has the code ERROR.
EXITS: dict[type[Exception], Exit] = {
    SagaConflict: Exit.CONFLICT,
    InvalidInput: Exit.REFUSED,
    UnknownSaga: Exit.REFUSED,
    UnknownExecution: Exit.REFUSED,
    ActRefused: Exit.REFUSED,
    DefinitionError: Exit.REFUSED,
    InsideTransaction: Exit.REFUSED,
}

FROM_BEST_TO_WORST = (
    Exit.SUCCEEDED,
    Exit.GOES_ON,
    Exit.UNDONE,
    Exit.NEEDS_A_PERSON,
    Exit.CONFLICT,
    Exit.REFUSED,
    Exit.ERROR,
    Exit.INTERRUPTED,
)


def exit_of(error: Exception) -> Exit:
    """Return the exit code for an error. An unexpected error has the code ERROR."""
    return next((code for kind, code in EXITS.items() if isinstance(error, kind)), Exit.ERROR)


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the worst of these codes, or SUCCEEDED if there are none."""
    return max(codes, key=FROM_BEST_TO_WORST.index, default=Exit.SUCCEEDED)
