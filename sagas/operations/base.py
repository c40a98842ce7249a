"""An execution as an operator's act finds it, and the words that acts, who acts and previews are told in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sagas.definition.exceptions import UnknownExecution
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.definition.states import Direction, SagaState
from sagas.engine import planner
from sagas.engine.history import History, roll_back
from sagas.engine.leased_execution import load_history
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.storage import database

HOLDS = (SagaEvent.Kind.HELD, SagaEvent.Kind.HOLD)


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


@dataclass(frozen=True)
class Situation:
    """An execution with its history and definition; `saga` is None when it is not registered here.

    `bound` says that an act is meant for this version of it only. Where it has been loaded with many others, `runs` are
    the step runs of its history, and `events` those that tell who held it and what was corrected, newest first.
    """

    execution: SagaExecution
    history: History
    saga: Saga | None
    bound: bool = False
    runs: Sequence[StepRun] = ()
    events: Sequence[SagaEvent] | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """The context keys that people search by."""
        return tuple(self.saga.references) if self.saga else ()

    @property
    def state(self) -> SagaState:
        """Where it stands."""
        return self.execution.state

    @property
    def remaining(self) -> list[str]:
        """Names of the steps whose undo is open, last step first."""
        return planner.remaining(self.saga, self.history) if self.saga else []

    @property
    def cause_of_hold(self) -> str:
        """Who held it: operator, engine or on_change."""
        return cause_of_hold(self.execution, self.events)

    def rolling(self) -> Situation:
        """The same, once a rollback that nobody's failure began is on its way."""
        return Situation(self.execution, roll_back(self.history, ""), self.saga)


def look(saga_id: str, *, bound: bool = False) -> Situation:
    """The execution of that id as it is now; raises UnknownExecution."""
    execution = SagaExecution.objects.using(database.alias()).with_id(saga_id).first()
    if execution is None:
        raise UnknownExecution(saga_id)
    return Situation(execution, load_history(execution), all_sagas().get(execution.saga_name), bound)


def cause_of_hold(execution: SagaExecution, events: Iterable[SagaEvent] | None = None) -> str:
    """Who held it last: operator, engine or on_change; `events` have those that tell, newest first, if at hand."""
    if events is None:
        events = execution.events.using(database.alias()).filter(kind__in=HOLDS).order_by("-id")[:10]
    return next((event.data["cause"] for event in events if "cause" in event.data), "operator")
