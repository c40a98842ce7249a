"""The interface through which crash tests and proofs observe the providers that a saga calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sagas.models import SagaExecution


class Call(NamedTuple):
    """A moment of a provider call: "before" or "after" its effect."""

    moment: str
    operation: str
    key: str

    def __str__(self) -> str:
        return f"{self.moment} {self.operation} {self.key}"


CallListener = Callable[[Call], None]


@dataclass(frozen=True)
class Effect:
    """The effect of one step at the providers, in the current run.

    `done` and `compensated` count how often the action and the compensation took effect. `remains` is True if the
    effect exists now. `repeats` is True for e-mails and messages: each call sends one, none can be revoked, and the
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
        """Register `listener`. It is called before and after the effect of each later call in this process."""

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return the effects of the execution's current run, by step name."""


class NoProviders:
    """Providers that report nothing. Only the tables of `sagas` are checked."""

    def watch(self, listener: CallListener) -> None:
        """Ignore the listener, because no call is reported."""

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """Return for every step an Effect with `due=False`."""
        return {name: Effect(due=False) for name in execution.plan}
