"""What a saga is: its steps, in order, with what each may take and how it is undone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

from . import wording_templates
from .exceptions import LONGEST_WAIT, DefinitionError
from .states import Priority

NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_NAME = 64
MAX_EXPONENT = 500.0

StepCall = Callable[["StepContext"], Mapping[str, Any] | None]


@dataclass(frozen=True)
class SagaStep:
    """One step of a saga: an action and, where it can be undone, its compensation.

    Durations (`timeout`, `retry_delay`, `max_delay`, `patience`, `compensation_timeout`) are in seconds.
    `money` is the context key of the amount that the action takes from the customer and its compensation gives back.
    `wording` maps doing, done, in_doubt, refused (it certainly did not happen), undoing, undone, undo_in_doubt,
    not_undone (it failed for good), to_do and to_undo (what a call would do) to the sentences that people read:
    templates, lazily translated, with keys of the context as placeholders. A bad value raises DefinitionError.
    """

    name: str
    action: StepCall
    compensation: StepCall | None = None
    timeout: float = 30.0
    retry_count: int = 3
    retry_delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 300.0
    jitter: bool = True
    idempotent: bool = True
    compensation_timeout: float | None = None
    compensation_retry_count: int | None = None
    verify: StepCall | None = None
    patience: float = 86400.0
    transactional: bool = False
    pivot: bool = False
    optional: bool = False
    money: str | None = None
    wording: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)

    def __post_init__(self) -> None:
        _check_name("step", self.name)
        for field in ("action", "compensation", "verify"):
            self._check_callable(field, required=field == "action")
        for field in ("timeout", "patience", "compensation_timeout"):
            self._check_number(field, above=0, optional=field == "compensation_timeout")
        for field in ("retry_delay", "max_delay"):
            self._check_number(field, at_least=0)
        self._check_number("backoff", at_least=1)
        for field in ("retry_count", "compensation_retry_count"):
            self._check_count(field, optional=field == "compensation_retry_count")
        for field in ("jitter", "idempotent", "transactional", "pivot", "optional"):
            if not isinstance(getattr(self, field), bool):
                raise self._error(field, "must be True or False")
        self._check_rest()

    @property
    def effective_compensation_timeout(self) -> float:
        """Seconds one attempt of the compensation may take."""
        return self.timeout if self.compensation_timeout is None else self.compensation_timeout

    @property
    def effective_compensation_retry_count(self) -> int:
        """Retries of the compensation after its first attempt."""
        given = self.compensation_retry_count
        return max(self.retry_count, 3) if given is None else given

    def delay(self, retry: int, luck: float) -> float:
        """Seconds before retry number `retry` (from 1); `luck`, 0 to 1, places it in the upper half with jitter."""
        beyond_floats = (retry - 1) * math.log(self.backoff) > MAX_EXPONENT
        full = self.max_delay if beyond_floats else min(self.retry_delay * self.backoff ** (retry - 1), self.max_delay)
        return full * (0.5 + luck / 2) if self.jitter else full

    def _check_callable(self, field: str, *, required: bool) -> None:
        value = getattr(self, field)
        if not callable(value) and (required or value is not None):
            raise self._error(field, "must be a function that takes the context")

    def _check_number(
        self, field: str, *, above: float | None = None, at_least: float | None = None, optional: bool = False
    ) -> None:
        value = getattr(self, field)
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._error(field, f"must be a number, not {value!r}")
        if above is not None and not value > above:
            raise self._error(field, f"must be more than {above}, not {value!r}")
        if at_least is not None and not value >= at_least:
            raise self._error(field, f"must be at least {at_least}, not {value!r}")
        if value > LONGEST_WAIT:
            raise self._error(field, f"must be at most {LONGEST_WAIT:g}, a year, not {value!r}")

    def _check_count(self, field: str, *, optional: bool) -> None:
        value = getattr(self, field)
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._error(field, f"must be a whole number of at least 0, not {value!r}")

    def _check_rest(self) -> None:
        money: Any = self.money
        if money is not None and (not isinstance(money, str) or not money):
            raise self._error("money", "must be the context key of an amount")
        fault = wording_templates.fault_in(self.wording, wording_templates.OF_A_STEP)
        if fault:
            raise self._error("wording", fault)
        if self.pivot and self.optional:
            raise self._error("optional", "a pivot cannot be optional: the saga turns on its success")

    def _error(self, field: str, cure: str) -> DefinitionError:
        return DefinitionError(f"step {self.name!r}: {field} {cure}")


@dataclass(frozen=True, eq=False)
class Saga(Sequence[SagaStep]):
    """A named sequence of steps, with what the input must look like and what people may see of it.

    `schema` is a DRF Serializer class; `references` are the context keys that people search by,
    `personal` those that are masked; `on_change(execution, old, new)` runs in the transaction of each entry to
    and exit from a terminal state; `wording` maps what the customer can be told (processing, confirmed, failed,
    checking) to templates like those of a step.
    """

    name: str
    steps: Sequence[SagaStep]
    schema: type[Any] | None = dataclasses.field(default=None, kw_only=True)
    description: str = dataclasses.field(default="", kw_only=True)
    priority: Priority = dataclasses.field(default=Priority.NORMAL, kw_only=True)
    references: Sequence[str] = dataclasses.field(default=(), kw_only=True)
    personal: Sequence[str] = dataclasses.field(default=(), kw_only=True)
    on_change: Callable[[Any, Any, Any], None] | None = dataclasses.field(default=None, kw_only=True)
    wording: Mapping[str, Any] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_name("saga", self.name)
        object.__setattr__(self, "steps", self._checked_steps())
        object.__setattr__(self, "priority", self._checked_priority())
        for field in ("references", "personal"):
            object.__setattr__(self, field, self._checked_keys(field))
        schema: Any = self.schema
        if schema is not None and not (isinstance(schema, type) and hasattr(schema, "is_valid")):
            raise DefinitionError(f"saga {self.name!r}: schema must be a DRF Serializer class")
        if self.on_change is not None and not callable(self.on_change):
            raise DefinitionError(f"saga {self.name!r}: on_change must be a function (execution, old, new)")
        fault = wording_templates.fault_in(self.wording, wording_templates.OF_A_SAGA)
        if fault:
            raise DefinitionError(f"saga {self.name!r}: wording {fault}")
        self._check_order()

    @overload
    def __getitem__(self, index: int) -> SagaStep: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SagaStep]: ...
    def __getitem__(self, index: int | slice) -> SagaStep | Sequence[SagaStep]:
        return self.steps[index]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[SagaStep]:
        return iter(self.steps)

    def __repr__(self) -> str:
        return f"Saga({self.name!r}, {list(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The steps' names, in order."""
        return tuple(step.name for step in self.steps)

    def step(self, name: str) -> SagaStep | None:
        """The step of that name, or None."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, SagaStep]:
        return {step.name: step for step in self.steps}

    def with_steps(self, steps: Iterable[SagaStep]) -> Saga:
        """The same saga with other steps."""
        return dataclasses.replace(self, steps=tuple(steps))

    def _checked_steps(self) -> tuple[SagaStep, ...]:
        given: Any = self.steps
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise DefinitionError(f"saga {self.name!r}: steps must be a sequence of SagaStep")
        steps = tuple(given)
        if not steps:
            raise DefinitionError(f"saga {self.name!r}: needs at least one step")
        strangers = [step for step in steps if not isinstance(step, SagaStep)]
        if strangers:
            raise DefinitionError(f"saga {self.name!r}: steps must be SagaStep, not {type(strangers[0]).__name__}")
        return steps

    def _checked_priority(self) -> Priority:
        try:
            return Priority(self.priority)
        except ValueError:
            raise DefinitionError(f"saga {self.name!r}: priority must be a Priority, not {self.priority!r}") from None

    def _checked_keys(self, field: str) -> tuple[str, ...]:
        keys = getattr(self, field)
        if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
            raise DefinitionError(f"saga {self.name!r}: {field} must be a sequence of context keys")
        keys = tuple(keys)
        if not all(isinstance(key, str) and key for key in keys):
            raise DefinitionError(f"saga {self.name!r}: {field} must be context keys, strings that are not empty")
        return keys

    def _check_order(self) -> None:
        names = self.names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise DefinitionError(f"saga {self.name!r}: two steps are named {doubled[0]!r}; names must be unique")
        pivots = [place for place, step in enumerate(self.steps) if step.pivot]
        if len(pivots) > 1:
            raise DefinitionError(f"saga {self.name!r}: has {len(pivots)} pivots; one is the most")
        after = self.steps[pivots[0] + 1 :] if pivots else ()
        undoable = next((step for step in after if step.compensation), None)
        if undoable:
            raise DefinitionError(
                f"saga {self.name!r}: step {undoable.name!r} has a compensation, but it comes after the pivot, "
                "and after the pivot nothing is compensated"
            )


class StepContext(MutableMapping[str, Any]):
    """The shared context as one attempt sees it: a mutable mapping, with what the attempt knows of itself.

    Writes count only if the attempt succeeds. `remaining` is in seconds, `deadline` an aware UTC datetime.
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
        """The idempotency key as a UUID, for providers that want one."""
        return uuid_of(self.idempotency_key)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never below 0."""
        return max(0.0, (self.deadline - self._clock()).total_seconds())

    @property
    def action_key(self) -> str:
        """The key under which the action ran; in a compensation and in `verify` only."""
        return self._only_after_the_action("action_key", self._action_key)

    @property
    def action_uuid(self) -> uuid.UUID:
        """The action's key as a UUID; in a compensation and in `verify` only."""
        return uuid_of(self._only_after_the_action("action_uuid", self._action_key))

    @property
    def uncertain(self) -> bool:
        """Whether nobody knows if the action took effect; in a compensation and in `verify` only."""
        self._only_after_the_action("uncertain", self._action_key)
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

    def _only_after_the_action(self, name: str, key: str | None) -> str:
        if key is None:
            raise AttributeError(f"{name} exists in a compensation and in verify, not in an action")
        return key


def uuid_of(key: str) -> uuid.UUID:
    """The UUID that stands for an idempotency key wherever a provider wants a UUID."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "sagas:" + key)


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise DefinitionError(
            f"{what} name {name!r} must start with a lower-case letter, then letters a-z, digits or _, "
            f"at most {MAX_NAME} characters"
        )
