"""The types around an operation: its name, its actor, its command, and its preview."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sagas.definition.states import Direction


class Operation(StrEnum):
    """The operations of operators on an execution. The values are those of the API and the commands."""

    RETRY = "retry"
    CANCEL = "cancel"
    COMPENSATE = "compensate"
    HOLD = "hold"
    RELEASE = "release"
    VERIFY = "verify"
    RESOLVE = "resolve"
    ACKNOWLEDGE = "acknowledge"
    CORRECT = "correct"


@dataclass(frozen=True)
class Actor:
    """The user or program that performs an operation, and the source: admin, api, cli or python."""

    user: Any = None
    name: str = ""
    source: str = "python"

    @property
    def display_name(self) -> str:
        """The name of the actor. The event stores this name, so that it stays after the user's account is deleted."""
        return (self.name or (self.user.get_username() if self.user else ""))[:150]


PYTHON = Actor()


@dataclass(frozen=True)
class Command:
    """A request to perform an operation. If `version` is given, the execution must still have this version."""

    operation: Operation
    actor: Actor
    reason: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Call:
    """A call of a step function that an operation would cause, with its idempotency key."""

    step: str
    direction: Direction
    key: str


@dataclass(frozen=True)
class Preview:
    """The effects that an operation would have on the execution at `version`."""

    operation: Operation
    saga_id: str
    version: int
    sentence: str
    calls: tuple[Call, ...] = ()
    not_repeated: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
