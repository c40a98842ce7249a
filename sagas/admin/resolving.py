"""The page on which a person puts down what has become of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas import histories, operations, planner, wording
from sagas.exceptions import ActRefused
from sagas.histories import roll_back
from sagas.operations import Preview
from sagas.operations.previews import move_after_word, resolved
from sagas.operations.situation import Situation
from sagas.operations.sums import moved_by
from sagas.planner import Hold, RollBack
from sagas.states import Direction, Resolution, SagaState

from .act_forms import ActForm, ResolveForm
from .act_pages import ActPage

WORDS = {
    Resolution.DONE: ("done", _("%(step)s was done.")),
    Resolution.NOT_DONE: ("refused", _("%(step)s was not done.")),
    Resolution.UNDONE: ("undone", _("%(step)s was undone.")),
}
STAYS = _("%(step)s was done, and stays as it is.")
STILL_HELD = _("It is still held then.")
GOES_ON = _("It goes on then.")
CHARGES = _("It goes on then, and %(sum)s is charged to the customer.")
IS_UNDONE = _("What was done is undone then, last step first.")
GIVES_BACK = _("What was done is undone then, last step first, and %(sum)s goes back to the customer.")


class ResolvePage(ActPage):
    """Offers each word that would be taken, step by step."""

    def form(self, preview: Preview, data: Any = None, **initial: Any) -> ActForm:
        """A word, the evidence and what happened."""
        words = [(wording.name_in_words(step), pairs) for step, pairs in self._words().items()]
        if not words:
            raise ActRefused(self.act, self.execution.saga_id, gettext("no step can be resolved by hand."))
        return ResolveForm(data, initial={"version": preview.version, **initial}, words=words)

    def _words(self) -> dict[str, list[tuple[str, str]]]:
        seen = self.situation()
        words: dict[str, list[tuple[str, str]]] = {}
        for step, word in operations.resolutions(self.execution.saga_id):
            words.setdefault(step, []).append((f"{step}:{word.value}", self._sentence(seen, step, word)))
        return words

    def _sentence(self, seen: Situation, step: str, word: Resolution) -> str:
        key, without = WORDS[word]
        if word is Resolution.DONE and Direction.COMPENSATION in histories.views_of(seen.history)[step].last:
            key, without = "", STAYS
        said = wording.sentence_of(step, key, without, seen.execution, seen.saga, personal=self.personal)
        return " ".join(sentence for sentence in (said, self._what_follows(seen, step, word)) if sentence)

    def _what_follows(self, seen: Situation, step: str, word: Resolution) -> str:
        """What the workers make of the word, and the money that it moves; "" where nothing is left to be said."""
        if seen.saga is None or not seen.execution.held:
            return ""
        history = resolved(seen, step, word)
        move = move_after_word(seen, history)
        if move is None or isinstance(move, Hold):
            return str(STILL_HELD)
        if isinstance(move, RollBack):
            return self._with_money(seen, planner.remaining(seen.saga, roll_back(history, step)), IS_UNDONE, GIVES_BACK)
        if seen.state is SagaState.COMPENSATING:
            return self._with_money(seen, planner.remaining(seen.saga, history), GOES_ON, GIVES_BACK)
        to_do = [name for name, view in histories.views_of(history).items() if not view.done and name != step]
        return self._with_money(seen, to_do, GOES_ON, CHARGES)

    def _with_money(self, seen: Situation, names: Sequence[str], without: Promise, sentence: Promise) -> str:
        saga = seen.saga
        steps = [found for name in names if (found := saga and saga.step(name)) and found.money]
        if not steps:
            return str(without)
        hidden = saga.personal if saga and not self.personal else ()
        known = moved_by(steps, (seen.execution.context, seen.execution.input), hidden)
        return str(sentence) % {"sum": known or f"[{steps[0].money}]"}
