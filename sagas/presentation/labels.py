"""What people call steps, sagas and keys, in the active language."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from sagas.definition.saga import Saga, SagaStep


def step_label(name: str, saga: Saga | None) -> str:
    """What people call the step: the name that its own wording has, else that of the code as people write it."""
    step = saga.step(name) if saga else None
    return label_of(step) if step else name_label(name)


def label_of(step: SagaStep) -> str:
    """The same of a step that is at hand."""
    own = (step.wording or {}).get("name")
    return str(own) if own else name_label(step.name)


def step_label_anywhere(name: str, sagas: Iterable[Saga]) -> str:
    """The same where steps of several of these sagas may be meant: each name that one of them has for it."""
    names = dict.fromkeys(step_label(name, saga) for saga in sagas if saga.step(name))
    return " / ".join(names) or name_label(name)


def name_label(name: str) -> str:
    """The name of a saga or of a key as people write it, translated where a catalog has it."""
    return gettext(name.replace("_", " ").capitalize())
