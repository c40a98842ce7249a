"""Labels of steps, sagas and keys in the active language."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from sagas.definition.saga import Saga, SagaStep


def step_label(name: str, saga: Saga | None) -> str:
    """Return the label of the step: the `name` of its wording, or its name in code as people write it."""
    step = saga.step(name) if saga else None
    return label_of(step) if step else name_label(name)


def label_of(step: SagaStep) -> str:
    """Return the label of a loaded step."""
    own = (step.wording or {}).get("name")
    return str(own) if own else name_label(step.name)


def step_label_anywhere(name: str, sagas: Iterable[Saga]) -> str:
    """Return the labels that these sagas have for the step, separated by slashes."""
    names = dict.fromkeys(step_label(name, saga) for saga in sagas if saga.step(name))
    return " / ".join(names) or name_label(name)


def name_label(name: str) -> str:
    """Return the name of a saga or of a key as people write it, translated if a catalog has it."""
    return gettext(name.replace("_", " ").capitalize())
