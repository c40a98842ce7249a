"""Hides personal values and card numbers in what a reader gets to see of an execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from sagas.definition import redaction
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.models import SagaEvent, SagaExecution

from .superseded_values import Inputs, load_superseded, superseded_in


@dataclass(frozen=True)
class Redactor:
    """Called with a text or another JSON value, returns what one reader may see of it.

    Personal values, of the input, of the context and of the inputs that corrections replaced, give way to their keys in
    brackets, unless `shows_personal`; card numbers are hidden from every reader.
    """

    execution: SagaExecution
    saga: Saga | None
    shows_personal: bool
    load_superseded: Callable[[], Inputs | None]
    corrected: Mapping[str, Any] | None = None

    def __call__(self, value: Any, *reported: Mapping[str, Any]) -> Any:
        """Redact the value, also by the personal values in what a step `reported`."""
        if self.shows_nothing:
            return ""
        return redaction.redacted(value, self.hidden_keys, *reported, *(self._contexts or ()))

    @property
    def hidden_keys(self) -> Sequence[str]:
        """The keys whose values the reader may not see."""
        return self.saga.personal if self.saga and not self.shows_personal else ()

    @property
    def shows_nothing(self) -> bool:
        """Whether personal values cannot be recognized: their keys, or some of their values, are not known."""
        return not self.shows_personal and (self.saga is None or self._contexts is None)

    @cached_property
    def _contexts(self) -> tuple[Mapping[str, Any], ...] | None:
        """The mappings in which a hidden key has, or had, a value; None if one of them cannot be read."""
        if not self.hidden_keys:
            return ()
        superseded = None if self.execution.unreadable else self.load_superseded()
        if superseded is None:
            return None
        return (self.execution.input, self.execution.context, self.corrected or {}, *superseded)


def redactor_for(
    execution: SagaExecution,
    saga: Saga | None,
    *,
    personal: bool,
    events: Iterable[SagaEvent] | None = None,
    corrected: Mapping[str, Any] | None = None,
) -> Redactor:
    """Make the redactor for a reader who may see `personal` values, or may not.

    `events`, if they are loaded, have all corrections. `corrected` is the input before a correction that is planned.
    """
    if events is not None:
        return Redactor(execution, saga, personal, partial(superseded_in, events), corrected)
    return Redactor(execution, saga, personal, lambda: load_superseded([execution.pk])[execution.pk], corrected)


def redactors_for(executions: Sequence[SagaExecution], *, personal: bool) -> dict[int, Redactor]:
    """Make a redactor for each of these executions, by primary key, in one query."""
    superseded = {} if personal else load_superseded(execution.pk for execution in executions)
    sagas = all_sagas()
    return {
        row.pk: Redactor(row, sagas.get(row.saga_name), personal, partial(superseded.get, row.pk)) for row in executions
    }
