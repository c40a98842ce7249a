"""The types of an operation: its name, who performs it, and its preview."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sagas.definition.states import Direction


class Operation(StrEnum):
    """What an operator can do to an execution; the API and the commands use the values."""

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
    """Who performs an operation, and its source: admin, api, cli or python."""

    user: Any = None
    name: str = ""
    source: str = "python"

    @property
    def display_name(self) -> str:
        """The name that is stored with the event, so that it outlives the user's account."""
        return (self.name or (self.user.get_username() if self.user else ""))[:150]


PYTHON = Actor()


@dataclass(frozen=True)
class Command:
    """One request to perform an operation; `version`, if given, must still be the version of the execution."""

    operation: Operation
    actor: Actor
    reason: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Call:
    """One call of a step that an operation would cause, with its idempotency key."""

    step: str
    direction: Direction
    key: str


@dataclass(frozen=True)
class Preview:
    """What an operation would do to the execution as it is at `version`."""

    operation: Operation
    saga_id: str
    version: int
    sentence: str
    calls: tuple[Call, ...] = ()
    not_repeated: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
