"""What crash tests and proofs need to know about the providers that a saga calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sagas.models import SagaExecution


class Call(NamedTuple):
    """A call to a provider; `moment` is "before" or "after" its effect."""

    moment: str
    operation: str
    key: str

    def __str__(self) -> str:
        return f"{self.moment} {self.operation} {self.key}"


CallListener = Callable[[Call], None]


@dataclass(frozen=True)
class Effect:
    """What the providers know of one step in the current run.

    `done` and `compensated` count how often the action and the compensation took effect. `remains` says whether the
    effect exists now. `repeats` marks mails and messages: they cannot be taken back or told apart, and their
    compensation is another message. `due` is False for a step that had nothing to do at a provider.
    """

    done: int = 0
    compensated: int = 0
    remains: bool = False
    repeats: bool = False
    due: bool = True


class Providers(Protocol):
    """Providers that report their calls and effects. `FakeProvider` is one."""

    def watch(self, listener: CallListener) -> None:
        """Call `listener` before and after the effect of each later call in this process."""

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return the effects of the execution's current run, by step name."""


class NoProviders:
    """Providers that report nothing, so that only the tables of `sagas` are checked."""

    def watch(self, listener: CallListener) -> None:
        """Ignore the listener: no call is reported."""

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return an effect that is not due for every step."""
        return {name: Effect(due=False) for name in execution.plan}
