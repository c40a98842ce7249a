"""Correcting the input of a saga and going on with it: what would change and follow, and doing both."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from sagas import operations
from sagas.definition import json_values
from sagas.definition.exceptions import ActRefused, CorrectionOnly, VersionMoved
from sagas.definition.states import SagaState
from sagas.engine import new_execution
from sagas.models import SagaExecution
from sagas.presentation.execution_view import load_view
from sagas.presentation.superseded_values import add_former_input

from .base import PYTHON, Actor, Operation, Preview
from .handlers import definition_of


@dataclass(frozen=True)
class Correction:
    """What a correction would change, and what would follow: `execution` as it would be, and the preview of that."""

    before: Mapping[str, Any]
    execution: SagaExecution
    preview: Preview

    @property
    def changed(self) -> list[str]:
        """The keys with another value than before, or without one."""
        changes = json_values.changes_between(self.before, self.execution.input)
        return [*changes.get("set", ()), *changes.get("deleted", ())]


def follow_up(execution: SagaExecution) -> Operation:
    """The act that makes a correction take effect."""
    return Operation.RETRY if execution.state is SagaState.FAILED else Operation.RELEASE


def plan_correction(saga_id: str, context: Mapping[str, Any]) -> Correction:
    """What `correct_and_go_on` would do; raises as that does. Writes nothing."""
    operations.plan(Operation.CORRECT, saga_id)
    view = load_view(saga_id)
    execution = view.execution
    corrected = copy.copy(execution)
    corrected.input = json.loads(new_execution.input_text(definition_of(view), context))
    changes = json_values.changes_between(execution.input, corrected.input)
    corrected.context = json_values.apply_changes(execution.context, changes)
    add_former_input(corrected, execution.input)
    return Correction(execution.input, corrected, operations.plan(follow_up(execution), saga_id))


def correct_and_go_on(
    saga_id: str, context: Mapping[str, Any], *, reason: str, by: Actor = PYTHON, version: int | None = None
) -> SagaExecution:
    """Replace the input, then retry what has failed or release what is held; each is an act with its own event.

    Raises as `perform` does, and ActHalfDone when the input was replaced and nothing followed.
    """
    corrected = operations.perform(Operation.CORRECT, saga_id, reason=reason, by=by, version=version, context=context)
    operation = follow_up(corrected)
    try:
        return operations.perform(operation, saga_id, reason=reason, by=by, version=corrected.version)
    except ActRefused as refusal:
        raise CorrectionOnly(operation, saga_id, _half_done(refusal), refusal.allowed) from refusal


def _half_done(refusal: ActRefused) -> str:
    if isinstance(refusal, VersionMoved):
        return gettext("the input is corrected, but somebody else has moved the case on meanwhile; look again.")
    sentence = gettext("the input is corrected, but nothing goes on with it yet: %(why)s")
    return sentence % {"why": refusal.sentence}
