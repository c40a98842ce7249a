"""The page on which a person puts down what has become of a step."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas import histories, operations, wording
from sagas.exceptions import ActRefused
from sagas.operations import Preview
from sagas.operations.situation import Situation
from sagas.states import Direction, Resolution

from .act_forms import ActForm, ResolveForm
from .act_pages import ActPage

WORDS = {
    Resolution.DONE: ("done", _("%(step)s was done.")),
    Resolution.NOT_DONE: ("refused", _("%(step)s was not done.")),
    Resolution.UNDONE: ("undone", _("%(step)s was undone.")),
}
STAYS = _("%(step)s was done, and stays as it is.")


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
        return wording.sentence_of(step, key, without, seen.execution, seen.saga, personal=self.personal)
