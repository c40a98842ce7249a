"""Correct the input of an execution, and then retry or release it; and the preview of this."""

from __future__ import annotations

import copy
import dataclasses
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
from sagas.presentation.execution_view import ExecutionView, load_view

from .handlers import definition_of
from .operation import PYTHON, Actor, Operation, Preview


@dataclass(frozen=True)
class Correction:
    """A preview of a correction: the old input, the view after the correction, and the preview of the follow-up."""

    before: Mapping[str, Any]
    view: ExecutionView
    preview: Preview

    @property
    def changed(self) -> list[str]:
        """The keys that the correction changes, adds or removes."""
        changes = json_values.changes_between(self.before, self.view.execution.input)
        return [*changes.get("set", ()), *changes.get("deleted", ())]


def follow_up(execution: SagaExecution) -> Operation:
    """Return the operation that continues with the corrected input: retry or release."""
    return Operation.RETRY if execution.state is SagaState.FAILED else Operation.RELEASE


def plan_correction(saga_id: str, context: Mapping[str, Any]) -> Correction:
    """Return a preview of `correct_and_go_on`, without writing. Raise the same exceptions."""
    operations.plan(Operation.CORRECT, saga_id)
    view = load_view(saga_id)
    before, corrected = view.execution.input, copy.copy(view.execution)
    corrected.input = json.loads(new_execution.input_text(definition_of(view), context))
    corrected.context = json_values.apply_changes(
        corrected.context, json_values.changes_between(before, corrected.input)
    )
    preview = operations.plan(follow_up(corrected), saga_id)
    return Correction(before, dataclasses.replace(view, execution=corrected), preview)


def correct_and_go_on(
    saga_id: str, context: Mapping[str, Any], *, reason: str, by: Actor = PYTHON, version: int | None = None
) -> SagaExecution:
    """Replace the input, then retry a failed execution or release a held one. Each operation writes its own event.

    Raise the same exceptions as `perform`, or CorrectionOnly if the input was replaced but the second operation was
    refused.
    """
    corrected = operations.perform(Operation.CORRECT, saga_id, reason=reason, by=by, version=version, context=context)
    operation = follow_up(corrected)
    try:
        return operations.perform(operation, saga_id, reason=reason, by=by, version=corrected.version)
    except ActRefused as refusal:
        if isinstance(refusal, VersionMoved):
            sentence = gettext("the input is corrected, but the case has changed since. Look at it again.")
        else:
            sentence = gettext("the input is corrected, but the case does not go on with it: %(why)s")
            sentence %= {"why": refusal.sentence}
        raise CorrectionOnly(operation, saga_id, sentence, refusal.allowed) from refusal
