"""The page on which a user records what really happened to a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas import operations
from sagas.definition.exceptions import ActRefused
from sagas.definition.states import Direction, Resolution, SagaState
from sagas.engine import planner
from sagas.engine.history import facts_of, roll_back
from sagas.engine.planner import Hold, RollBack
from sagas.operations import Preview
from sagas.operations.money import Amount, HiddenAmount, total_of
from sagas.operations.resolution import move_after_resolution, with_resolution
from sagas.presentation import labels, messages
from sagas.presentation.execution_view import ExecutionView

from .forms import OperationForm, ResolveForm
from .page import OperationPage

# For each resolution: the key of the step's own template, and the sentence if the step has no template.
SENTENCES = {
    Resolution.DONE: ("done", _("%(step)s was done.")),
    Resolution.NOT_DONE: ("refused", _("%(step)s was not done.")),
    Resolution.UNDONE: ("compensated", _("%(step)s was undone.")),
}
STAYS_DONE = _("It will not be undone.")
STAYS_ON_HOLD = _("The case stays on hold.")
CONTINUES = _("The case continues.")
CHARGES = _("The case continues, and the customer will be charged %(sum)s.")
ROLLS_BACK = _("What was done will be undone, last step first.")
REFUNDS = _("What was done will be undone, last step first, and the customer will be refunded %(sum)s.")


@dataclass(frozen=True)
class ResolutionChoice:
    """A possible resolution: its sentence, and the refund that follows from it, if any."""

    value: str
    sentence: str
    refund: Amount | HiddenAmount | None


class ResolvePage(OperationPage):
    """Offer the possible resolutions of each step."""

    def form(self, preview: Preview, data: Any = None, **initial: Any) -> OperationForm:
        """Return the form with the possible resolutions, grouped by step.

        Raises ActRefused if no step can be resolved.
        """
        view = self.view()
        found: dict[str, list[ResolutionChoice]] = {}
        for step, resolution in operations.resolutions(self.execution.saga_id):
            found.setdefault(labels.step_label(step, view.saga), []).append(self._choice(view, step, resolution))
        if not found:
            raise ActRefused(self.operation, self.execution.saga_id, gettext("no step can be marked as resolved."))
        choices = [(step, [(one.value, one.sentence) for one in group]) for step, group in found.items()]
        refunds = {one.value: one.refund for group in found.values() for one in group if one.refund}
        return ResolveForm(data, initial={"version": preview.version, **initial}, choices=choices, refunds=refunds)

    def _choice(self, view: ExecutionView, step: str, resolution: Resolution) -> ResolutionChoice:
        key, without = SENTENCES[resolution]
        tried = facts_of(view.history)[step].last
        if resolution is Resolution.NOT_DONE and Direction.ACTION not in tried:
            key = ""  # the step's own template would say that the step was tried
        sentence = messages.sentence_of(view, step, key, without, self.redactor_for(view))
        stays = str(STAYS_DONE) if resolution is Resolution.DONE and Direction.COMPENSATION in tried else ""
        follows, refund = self._what_follows(view, step, resolution)
        text = " ".join(part for part in (sentence, stays, follows) if part)
        return ResolutionChoice(f"{step}:{resolution.value}", text, refund)

    def _what_follows(
        self, view: ExecutionView, step: str, resolution: Resolution
    ) -> tuple[str, Amount | HiddenAmount | None]:
        """Return a sentence that says what the workers do next ("" if nothing), and the refund that they make."""
        if view.saga is None or not view.execution.held:
            return "", None
        history = with_resolution(view, step, resolution)
        move = move_after_resolution(view, history)
        if move is None or isinstance(move, Hold):
            return str(STAYS_ON_HOLD), None
        if isinstance(move, RollBack):
            return self._with_money(view, planner.remaining(view.saga, roll_back(history, step)), ROLLS_BACK, REFUNDS)
        if view.state is SagaState.COMPENSATING:
            return self._with_money(view, planner.remaining(view.saga, history), CONTINUES, REFUNDS)
        to_do = [name for name, facts in facts_of(history).items() if not facts.done and name != step]
        return self._with_money(view, to_do, CONTINUES, CHARGES)[0], None

    def _with_money(
        self, view: ExecutionView, names: Sequence[str], without: Promise, sentence: Promise
    ) -> tuple[str, Amount | HiddenAmount | None]:
        """Return `sentence` with the amount that these steps move, and the amount; `without` if they move none."""
        saga = view.saga
        steps = [found for name in names if (found := saga and saga.step(name)) and found.money]
        if not steps:
            return str(without), None
        hidden = self.redactor_for(view).hidden_keys
        known = total_of(steps, (view.execution.context, view.execution.input), hidden)
        return str(sentence) % {"sum": known or f"[{steps[0].money}]"}, known or HiddenAmount(view.execution.saga_id)
