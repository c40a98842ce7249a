"""What a reader may see of what has been written about an execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagas.definition import redaction
from sagas.definition.saga import Saga
from sagas.models import SagaExecution

from .superseded_values import former_inputs


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
            return redaction.redacted(value, ())
        return "" if self.blind else redaction.redacted(value, self.keys, *self.contexts)


def veil_over(execution: SagaExecution, saga: Saga | None, *, personal: bool) -> Veil:
    """The veil for a reader who may see personal values, or may not."""
    if personal:
        return Veil(True, False, (), ())
    former = None if saga is None or execution.unreadable else former_inputs(execution)
    if saga is None or former is None:
        return Veil(False, True, (), ())
    return Veil(False, False, saga.personal, (execution.input, execution.context, *former))
