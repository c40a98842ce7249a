"""The context that step functions receive."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any


class StepContext(MutableMapping[str, Any]):
    """The context of the execution during one attempt: a mutable mapping that also has attributes of the attempt.

    Changes are stored only if the attempt succeeds. `deadline` is an aware UTC datetime. `outputs` maps the names of
    finished steps to their return values. `output` is the last output that this step has reported.
    """

    def __init__(
        self,
        data: dict[str, Any],
        *,
        saga_id: str,
        step: str,
        attempt: int,
        run: int,
        idempotency_key: str,
        deadline: dt.datetime,
        clock: Callable[[], dt.datetime],
        outputs: Mapping[str, Any],
        output: Mapping[str, Any] | None = None,
        action_key: str | None = None,
        uncertain: bool = False,
    ) -> None:
        self._data = data
        self._clock = clock
        self.saga_id, self.step, self.attempt, self.run = saga_id, step, attempt, run
        self.idempotency_key, self.deadline = idempotency_key, deadline
        self.outputs, self.output = dict(outputs), output
        self._action_key, self._uncertain = action_key, uncertain

    @property
    def idempotency_uuid(self) -> uuid.UUID:
        """The idempotency key as a UUID, for providers that require one."""
        return uuid_of(self.idempotency_key)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, (self.deadline - self._clock()).total_seconds())

    @property
    def action_key(self) -> str:
        """The idempotency key of the action. Available only in a compensation and in `verify`."""
        return self._require_action_key("action_key")

    @property
    def action_uuid(self) -> uuid.UUID:
        """The idempotency key of the action as a UUID. Available only in a compensation and in `verify`."""
        return uuid_of(self._require_action_key("action_uuid"))

    @property
    def uncertain(self) -> bool:
        """Whether the action is in doubt. Available only in a compensation and in `verify`."""
        self._require_action_key("uncertain")
        return self._uncertain

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._data[key] = value

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<StepContext {self.idempotency_key} attempt {self.attempt} keys {sorted(self._data)}>"

    def _require_action_key(self, attribute: str) -> str:
        if self._action_key is None:
            raise AttributeError(f"{attribute} is only available in a compensation and in verify, not in an action")
        return self._action_key


def uuid_of(key: str) -> uuid.UUID:
    """Return the UUID that represents an idempotency key."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "sagas:" + key)
