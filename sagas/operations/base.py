"""Operations, who performs them, and previews."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sagas.definition.states import Direction


class Operation(StrEnum):
    """What an operator can do; the values are the commands' and the API's words."""

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
    """Who acts, and from where: admin, api, cli or python."""

    user: Any = None
    name: str = ""
    source: str = "python"

    @property
    def display_name(self) -> str:
        """The name that the event keeps, also when the user is deleted later."""
        return (self.name or (self.user.get_username() if self.user else ""))[:150]


PYTHON = Actor()


@dataclass(frozen=True)
class Call:
    """A call that an act would have made: the step, in which direction, and the key it would carry."""

    step: str
    direction: Direction
    key: str


@dataclass(frozen=True)
class Preview:
    """What an act would do. `version` is the execution's; the act can be made to depend on it."""

    operation: Operation
    saga_id: str
    version: int
    sentence: str
    calls: tuple[Call, ...] = ()
    not_repeated: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
