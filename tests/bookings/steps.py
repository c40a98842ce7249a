"""Call single steps of a saga with the context that the engine passes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sagas import Saga, StepContext


class Steps:
    """One run of a saga. The test calls its steps one by one.

    A compensation gets the output of its action, unless the test passes a different `output`.
    """

    def __init__(self, saga: Saga, data: dict[str, Any]) -> None:
        self.saga = saga
        self.data = dict(data)
        self.outputs: dict[str, dict[str, Any]] = {}

    def operation(self, name: str, **about: Any) -> dict[str, Any]:
        """Call the step's action and add its output to the saga's data, like the engine."""
        output = dict(self.saga.step(name).action(self.context(name, "", **about)))
        self.outputs[name] = output
        self.data |= output
        return output

    def undo(self, name: str, **about: Any) -> dict[str, Any]:
        """Call the step's compensation."""
        about = {"output": self.outputs.get(name), "action_key": self.key(name), **about}
        return dict(self.saga.step(name).compensation(self.context(name, ":undo", **about)))

    def verify(self, name: str) -> dict[str, Any] | None:
        """Call the step's verify."""
        return self.saga.step(name).verify(self.context(name, "", action_key=self.key(name), uncertain=True))

    def key(self, name: str) -> str:
        """Return the idempotency key of the step's action."""
        return f"s1:1:{name}"

    def context(self, name: str, suffix: str, *, attempt: int = 1, **about: Any) -> StepContext:
        """Return the context that the engine passes to the step."""
        return StepContext(
            self.data,
            saga_id="s1",
            step=name,
            attempt=attempt,
            run=1,
            idempotency_key=self.key(name) + suffix,
            deadline=datetime.now(UTC) + timedelta(seconds=self.saga.step(name).timeout),
            clock=lambda: datetime.now(UTC),
            outputs=self.outputs,
            **about,
        )
