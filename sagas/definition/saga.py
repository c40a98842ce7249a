"""The definition of a saga: its steps, in order, with the retries and the compensation of each step."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

from . import wording_templates
from .context import StepContext
from .exceptions import LONGEST_WAIT, DefinitionError
from .states import Priority

NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_NAME = 64
MAX_EXPONENT = 500.0

StepCall = Callable[[StepContext], Mapping[str, Any] | None]


@dataclass(frozen=True)
class SagaStep:
    """One step of a saga: an action and, if it can be undone, a compensation.

    Durations (`timeout`, `retry_delay`, `max_delay`, `patience`, `compensation_timeout`) are in seconds.
    `money` is the context key of the amount that the action charges and the compensation refunds.
    `wording` maps keys in `wording_templates.STEP_KEYS` to templates of the texts that people read. A template may be a
    lazy translation. Raise DefinitionError for a bad value.
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
            count = getattr(self, field)
            default = count is None and field == "compensation_retry_count"
            if not default and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
                raise self._error(field, f"must be a whole number of at least 0, not {count!r}")
        for field in ("jitter", "idempotent", "transactional", "pivot", "optional"):
            if not isinstance(getattr(self, field), bool):
                raise self._error(field, "must be True or False")
        self._check_rest()

    @property
    def effective_compensation_timeout(self) -> float:
        """The timeout of one attempt of the compensation, in seconds."""
        return self.timeout if self.compensation_timeout is None else self.compensation_timeout

    @property
    def effective_compensation_retry_count(self) -> int:
        """The number of retries of the compensation after its first attempt."""
        given = self.compensation_retry_count
        return max(self.retry_count, 3) if given is None else given

    def delay(self, retry: int, luck: float) -> float:
        """Return the seconds before retry number `retry` (from 1).

        With jitter, `luck` (0 to 1) places the delay in the upper half of the full delay.
        """
        too_large = (retry - 1) * math.log(self.backoff) > MAX_EXPONENT
        full = self.max_delay if too_large else min(self.retry_delay * self.backoff ** (retry - 1), self.max_delay)
        return full * (0.5 + luck / 2) if self.jitter else full

    def _check_callable(self, field: str, *, required: bool) -> None:
        value = getattr(self, field)
        if value is None and not required:
            return
        if not callable(value):
            raise self._error(field, "must be a function that takes the context")
        function: Any = value
        while isinstance(function, functools.partial):
            function = function.func
        called = function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__
        # Refuse async functions, because a call returns a coroutine or generator and does not run the code.
        if any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (function, called)):
            raise self._error(
                field,
                "must not be async: steps run in threads. Define it with `def`, and call async code with asyncio.run",
            )

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

    def _check_rest(self) -> None:
        money: Any = self.money
        if money is not None and (not isinstance(money, str) or not money):
            raise self._error("money", "must be the context key of an amount")
        problem = wording_templates.problem_of(self.wording, wording_templates.STEP_KEYS)
        if problem:
            raise self._error("wording", problem)
        if self.pivot and self.optional:
            raise self._error("optional", "must be False for a pivot: the saga depends on its success")

    def _error(self, field: str, problem: str) -> DefinitionError:
        return DefinitionError(f"step {self.name!r}: {field} {problem}")


@dataclass(frozen=True, eq=False)
class Saga(Sequence[SagaStep]):
    """A named sequence of steps, with the schema of its input and its texts for people.

    `schema` is a DRF Serializer class that validates the input. `references` are the context keys that people can
    search by. `personal` are the context keys that are redacted. `on_change(execution, old, new)` is called when an
    execution enters or leaves a terminal state, in the same transaction. `wording` maps keys in
    `wording_templates.SAGA_KEYS` to templates of the texts that the customer reads.
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
        try:
            object.__setattr__(self, "priority", Priority(self.priority))
        except ValueError:
            raise self._error(f"priority must be a Priority, not {self.priority!r}") from None
        for field in ("references", "personal"):
            object.__setattr__(self, field, self._checked_keys(field))
        schema: Any = self.schema
        if schema is not None and not (isinstance(schema, type) and hasattr(schema, "is_valid")):
            raise self._error("schema must be a DRF Serializer class")
        if self.on_change is not None and not callable(self.on_change):
            raise self._error("on_change must be a function (execution, old, new)")
        problem = wording_templates.problem_of(self.wording, wording_templates.SAGA_KEYS)
        if problem:
            raise self._error(f"wording {problem}")
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
        """The names of the steps, in order."""
        return tuple(step.name for step in self.steps)

    def step(self, name: str) -> SagaStep | None:
        """Return the step of that name, or None."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, SagaStep]:
        return {step.name: step for step in self.steps}

    def with_steps(self, steps: Iterable[SagaStep]) -> Saga:
        """Return a copy of the saga with other steps."""
        return dataclasses.replace(self, steps=tuple(steps))

    def _checked_steps(self) -> tuple[SagaStep, ...]:
        given: Any = self.steps
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise self._error("steps must be a sequence of SagaStep")
        steps = tuple(given)
        if not steps:
            raise self._error("steps must hold at least one SagaStep")
        others = [step for step in steps if not isinstance(step, SagaStep)]
        if others:
            raise self._error(f"steps must be SagaStep, not {type(others[0]).__name__}")
        return steps

    def _checked_keys(self, field: str) -> tuple[str, ...]:
        keys = getattr(self, field)
        if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
            raise self._error(f"{field} must be a sequence of context keys")
        keys = tuple(keys)
        if not all(isinstance(key, str) and key for key in keys):
            raise self._error(f"{field} must hold context keys: strings that are not empty")
        return keys

    def _check_order(self) -> None:
        names = self.names
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise self._error(f"two steps are named {duplicates[0]!r}; names must be unique")
        pivots = [place for place, step in enumerate(self.steps) if step.pivot]
        if len(pivots) > 1:
            raise self._error(f"it has {len(pivots)} pivots; at most one is allowed")
        after = self.steps[pivots[0] + 1 :] if pivots else ()
        compensated = next((step for step in after if step.compensation), None)
        if compensated:
            raise self._error(
                f"step {compensated.name!r} has a compensation, but steps after the pivot are never compensated"
            )

    def _error(self, problem: str) -> DefinitionError:
        return DefinitionError(f"saga {self.name!r}: {problem}")


def _check_name(kind: str, name: Any) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise DefinitionError(
            f"{kind} name {name!r} must start with a lower-case letter, then letters a-z, digits or _, "
            f"at most {MAX_NAME} characters"
        )
