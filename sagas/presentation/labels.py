"""The labels of steps, sagas and context keys in the active language."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from sagas.definition.saga import Saga, SagaStep


def step_label(name: str, saga: Saga | None) -> str:
    """Return the label of the step: the "name" in its wording, or else `name_label(name)`.

    `saga` None, or a saga without that step, gives `name_label(name)`.
    """
    step = saga.step(name) if saga else None
    return label_of(step) if step else name_label(name)


def label_of(step: SagaStep) -> str:
    """Return the label of a step from a saga's definition."""
    own = (step.wording or {}).get("name")
    return str(own) if own else name_label(step.name)


def step_label_anywhere(name: str, sagas: Iterable[Saga]) -> str:
    """Return the labels that these sagas give to the step, separated by " / ".

    Returns `name_label(name)` if none of them has the step.
    """
    names = dict.fromkeys(step_label(name, saga) for saga in sagas if saga.step(name))
    return " / ".join(names) or name_label(name)


def name_label(name: str) -> str:
    """Return a label for a name in code, translated if a catalogue has it: "charge_card" is "Charge card"."""
    return gettext(name.replace("_", " ").capitalize())
