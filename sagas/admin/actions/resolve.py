"""The page on which a person puts down what has become of a step."""

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

from .forms import ActForm, ResolveForm
from .page import ActPage

WORDS = {
    Resolution.DONE: ("done", _("%(step)s was done.")),
    Resolution.NOT_DONE: ("refused", _("%(step)s was not done.")),
    Resolution.UNDONE: ("compensated", _("%(step)s was undone.")),
}
STAYS = _("It stays as it is.")
STILL_HELD = _("It is still held then.")
GOES_ON = _("It goes on then.")
CHARGES = _("It goes on then, and %(sum)s is charged to the customer.")
IS_UNDONE = _("What was done is undone then, last step first.")
GIVES_BACK = _("What was done is undone then, last step first, and %(sum)s goes back to the customer.")


@dataclass(frozen=True)
class Word:
    """A word that would be taken: what it says and leads to, and what goes back to the customer then."""

    value: str
    sentence: str
    refund: Amount | HiddenAmount | None


class ResolvePage(ActPage):
    """Offers each word that would be taken, step by step."""

    def form(self, preview: Preview, data: Any = None, **initial: Any) -> ActForm:
        """A word, the evidence, what happened and, for a word that gives money back, the amount."""
        words = self._words()
        if not words:
            raise ActRefused(self.operation, self.execution.saga_id, gettext("no step can be resolved by hand."))
        choices = [(step, [(word.value, word.sentence) for word in found]) for step, found in words.items()]
        refunds = {word.value: word.refund for found in words.values() for word in found if word.refund}
        return ResolveForm(data, initial={"version": preview.version, **initial}, words=choices, refunds=refunds)

    def _words(self) -> dict[str, list[Word]]:
        """Those on each step, by its name in words."""
        seen = self.view()
        words: dict[str, list[Word]] = {}
        for step, word in operations.resolutions(self.execution.saga_id):
            words.setdefault(labels.step_label(step, seen.saga), []).append(self._word(seen, step, word))
        return words

    def _word(self, seen: ExecutionView, step: str, word: Resolution) -> Word:
        key, without = WORDS[word]
        tried = facts_of(seen.history)[step].last
        if word is Resolution.NOT_DONE and Direction.ACTION not in tried:
            key = ""  # its own words say that it was tried
        said = messages.sentence_of(seen, step, key, without, self.redactor_for(seen))
        stays = str(STAYS) if word is Resolution.DONE and Direction.COMPENSATION in tried else ""
        follows, refund = self._what_follows(seen, step, word)
        sentences = (sentence for sentence in (said, stays, follows) if sentence)
        return Word(f"{step}:{word.value}", " ".join(sentences), refund)

    def _what_follows(
        self, seen: ExecutionView, step: str, word: Resolution
    ) -> tuple[str, Amount | HiddenAmount | None]:
        """What the workers make of the word, "" where nothing is left to be said; and what goes back then."""
        if seen.saga is None or not seen.execution.held:
            return "", None
        history = with_resolution(seen, step, word)
        move = move_after_resolution(seen, history)
        if move is None or isinstance(move, Hold):
            return str(STILL_HELD), None
        if isinstance(move, RollBack):
            return self._with_money(seen, planner.remaining(seen.saga, roll_back(history, step)), IS_UNDONE, GIVES_BACK)
        if seen.state is SagaState.COMPENSATING:
            return self._with_money(seen, planner.remaining(seen.saga, history), GOES_ON, GIVES_BACK)
        to_do = [name for name, facts in facts_of(history).items() if not facts.done and name != step]
        return self._with_money(seen, to_do, GOES_ON, CHARGES)[0], None

    def _with_money(
        self, seen: ExecutionView, names: Sequence[str], without: Promise, sentence: Promise
    ) -> tuple[str, Amount | HiddenAmount | None]:
        """What is said of these calls, and the money that they move, also where that is not known or not to be seen."""
        saga = seen.saga
        steps = [found for name in names if (found := saga and saga.step(name)) and found.money]
        if not steps:
            return str(without), None
        hidden = self.redactor_for(seen).hidden_keys
        known = total_of(steps, (seen.execution.context, seen.execution.input), hidden)
        return str(sentence) % {"sum": known or f"[{steps[0].money}]"}, known or HiddenAmount(seen.execution.saga_id)
