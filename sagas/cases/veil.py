"""What a reader may see of what has been written about an execution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagas import database, masking
from sagas.definition import Saga
from sagas.exceptions import UnreadableRow
from sagas.models import SagaEvent, SagaExecution


@dataclass(frozen=True)
class Veil:
    """Called with a text or another JSON value, gives what of it may be shown; "" where nobody can tell.

    `contexts` are all in which a personal key has, or had before a correction, a value.
    """

    personal: bool
    blind: bool
    keys: Sequence[str]
    contexts: tuple[Mapping[str, Any], ...]

    def __call__(self, value: Any) -> Any:
        if self.personal:
            return masking.masked(value, ())
        return "" if self.blind else masking.masked(value, self.keys, *self.contexts)


def veil_over(
    execution: SagaExecution, saga: Saga | None, *, personal: bool, events: Iterable[SagaEvent] | None = None
) -> Veil:
    """The veil for a reader who may see personal values, or may not; `events` have its corrections, if at hand."""
    if personal:
        return Veil(True, False, (), ())
    try:
        former = _former_inputs(_corrections(execution) if events is None else events)
    except UnreadableRow:
        return Veil(False, True, (), ())
    blind = saga is None or bool(execution.unreadable)
    return Veil(False, blind, saga.personal if saga else (), (execution.input, execution.context, *former))


def _corrections(execution: SagaExecution) -> Iterable[SagaEvent]:
    return execution.events.using(database.alias()).filter(kind=SagaEvent.Kind.CORRECT)


def _former_inputs(events: Iterable[SagaEvent]) -> list[Mapping[str, Any]]:
    """What was corrected, as it was: people's reasons may quote it."""
    return [event.data["former"].get("set", {}) for event in events if "former" in event.data]
