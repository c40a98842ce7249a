"""Hide personal values and card numbers in everything that a reader sees of an execution."""

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
    """A callable that hides the parts of a text or another JSON value that one reader may not see.

    Personal values are replaced by their keys in brackets, unless `shows_personal`. They come from the input, from the
    context and from inputs that corrections replaced. Card numbers are hidden from every reader.
    """

    execution: SagaExecution
    saga: Saga | None
    shows_personal: bool
    load_superseded: Callable[[], Inputs | None]
    corrected: Mapping[str, Any] | None = None

    def __call__(self, value: Any, *reported: Mapping[str, Any]) -> Any:
        """Redact the value. Personal values in the outputs `reported` by steps are hidden too."""
        if self.shows_nothing:
            return ""
        return redaction.redacted(value, self.hidden_keys, *reported, *(self._contexts or ()))

    @property
    def hidden_keys(self) -> Sequence[str]:
        """The context keys with values that the reader may not see."""
        return self.saga.personal if self.saga and not self.shows_personal else ()

    @property
    def shows_nothing(self) -> bool:
        """Whether everything is hidden, because the personal keys or values are not known."""
        return not self.shows_personal and (self.saga is None or self._contexts is None)

    @cached_property
    def _contexts(self) -> tuple[Mapping[str, Any], ...] | None:
        """The current and earlier mappings with values of hidden keys; None if one of them cannot be read."""
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
    """Make the redactor of one execution for one reader.

    `personal` says whether the reader may see personal values. `events`, if given, must contain all corrections of the
    execution; without them, the redactor loads them when it first needs them. `corrected` is the input before a
    correction that is not stored yet. Without `saga` and without `personal` the redactor hides everything, because it
    does not know which values are personal.
    """
    if events is not None:
        return Redactor(execution, saga, personal, partial(superseded_in, events), corrected)
    return Redactor(execution, saga, personal, lambda: load_superseded([execution.pk])[execution.pk], corrected)


def redactors_for(executions: Sequence[SagaExecution], *, personal: bool) -> dict[int, Redactor]:
    """Make a redactor for each execution, for one reader. Return them by primary key.

    Makes one query, and none if the reader may see personal values.
    """
    superseded = {} if personal else load_superseded(execution.pk for execution in executions)
    sagas = all_sagas()
    return {
        row.pk: Redactor(row, sagas.get(row.saga_name), personal, partial(superseded.get, row.pk)) for row in executions
    }
