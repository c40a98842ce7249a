"""Steps whose functions follow a script, and sagas registered for one test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagas import OutcomeUnknown, Saga, SagaStep, StepContext
from sagas.definition import registry
from sagas.definition.states import Direction

Does = Any  # one script entry: an exception to raise, a value to return, or a function to call with the context


@dataclass(frozen=True)
class Called:
    """One call of a step's function, with the values that its context had."""

    step: str
    direction: Direction
    attempt: int
    key: str
    context: Mapping[str, Any]
    output: Mapping[str, Any] | None
    outputs: Mapping[str, Any]
    run: int

    def __str__(self) -> str:
        return {Direction.COMPENSATION: f"{self.step}.undo", Direction.VERIFY: f"{self.step}.verify"}.get(
            self.direction, self.step
        )


class Stage:
    """Make steps whose functions follow a script, and record their calls in order."""

    def __init__(self) -> None:
        self.calls: list[Called] = []

    @property
    def told(self) -> list[str]:
        """The recorded calls as text: "charge", "charge.undo", "charge.verify"."""
        return [str(call) for call in self.calls]

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of the recorded calls."""
        return [call.key for call in self.calls]

    def step(
        self,
        name: str,
        *does: Does,
        undo: Sequence[Does] | None = (),
        verify: Sequence[Does] | None = None,
        **options: Any,
    ) -> SagaStep:
        """Return a step that follows a script: its n-th call does what the n-th entry says. The last entry repeats.

        An empty script always succeeds. `undo=None` leaves the step without a compensation. Retries have no delay.
        """
        options = {"retry_delay": 0, "max_delay": 0, "jitter": False} | options
        return SagaStep(
            name,
            self.function(Direction.ACTION, does),
            None if undo is None else self.function(Direction.COMPENSATION, undo),
            verify=None if verify is None else self.function(Direction.VERIFY, verify),
            **options,
        )

    def function(self, direction: Direction, does: Sequence[Does]) -> Callable[[StepContext], Any]:
        """Return a step function that follows the script `does` and records its calls."""
        script = list(does) or [{}]

        def play(context: StepContext) -> Any:
            self.calls.append(
                Called(
                    context.step,
                    direction,
                    context.attempt,
                    context.idempotency_key,
                    dict(context),
                    context.output,
                    context.outputs,
                    context.run,
                )
            )
            now = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(now, BaseException) or (isinstance(now, type) and issubclass(now, BaseException)):
                raise now
            return now(context) if callable(now) else now

        return play


class Registered:
    """Register sagas for one test. A second registration under the same name replaces the saga, like a deployment."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, *steps: SagaStep, name: str = "trip", **options: Any) -> Saga:
        self.names.add(name)
        registry.unregister(name)
        return registry.register(Saga(name, steps, **options))

    def forget(self) -> None:
        """Unregister all sagas that this object has registered."""
        for name in self.names:
            registry.unregister(name)


def lost() -> OutcomeUnknown:
    """Return the error that a step raises when the provider's answer is lost."""
    return OutcomeUnknown("the answer got lost")
