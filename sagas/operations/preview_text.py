"""A preview in words: what an act calls and does not call again, the money it moves, what cannot be taken back."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import Direction, SagaState
from sagas.engine.history import History, steps_completed
from sagas.models import SagaExecution
from sagas.presentation import labels, messages, step_status

from .base import Call, Operation, Preview
from .money import Amount, HiddenAmount, total_of
from .resolution_effects import Following, what_follows

WILL_BE_DONE = pgettext_lazy("what a call would do", "%(step)s is done.")
WILL_BE_UNDONE = pgettext_lazy("what a call would do", "%(step)s is undone.")
WILL_BE_ASKED = _("The provider is asked whether %(step)s was done.")
CHARGED = _("%(sum)s is charged to the customer.")
BACK = _("%(sum)s goes back to the customer.")
BACK_IF_CHARGED = _("%(sum)s goes back to the customer, if it was charged.")
AS_ANSWERED = {
    Direction.ACTION: _("If it goes on, %(sum)s is charged to the customer."),
    Direction.COMPENSATION: _("If it is undone, as much as was charged goes back to the customer: %(sum)s at most."),
}
WORDS = {
    Direction.ACTION: ("to_do", WILL_BE_DONE),
    Direction.COMPENSATION: ("to_compensate", WILL_BE_UNDONE),
    Direction.VERIFY: ("", WILL_BE_ASKED),
}


@dataclass(frozen=True)
class CallText:
    """A call, and the sentence that says what it does."""

    call: Call
    sentence: str


@dataclass(frozen=True)
class PreviewText:
    """What people read before they decide: `calls` are made if all goes well, `perhaps` as a provider answers.

    `refund` is what goes back to the customer, None where nothing does for sure.
    """

    sentence: str
    calls: tuple[CallText, ...]
    possible: tuple[CallText, ...]
    not_repeated: tuple[str, ...]
    money: tuple[str, ...]
    irreversible: tuple[str, ...]
    in_doubt: tuple[str, ...]
    refund: Amount | HiddenAmount | None


def describe(
    preview: Preview, execution: SagaExecution, saga: Saga | None, history: History, *, personal: bool = False
) -> PreviewText:
    """The preview in the active language; `personal` shows the values of personal keys."""
    follows = what_follows(preview.operation, preview.calls, saga, history)
    done = frozenset(steps_completed(history))
    told = messages.steps_told(execution, saga, history, personal=personal)
    teller = _Teller(preview, follows, _as_it_will_be(preview, execution), saga, done, personal)
    again = {call.step for call in teller.calls}
    return PreviewText(
        teller.lead(),
        tuple(CallText(call, teller.sentence(call)) for call in teller.calls),
        tuple(CallText(call, teller.sentence(call)) for call in follows.possible),
        tuple(step.sentence for step in told if step.name in preview.not_repeated and step.name not in again),
        tuple(teller.money()),
        tuple(teller.irreversible()),
        tuple(teller.doubt(name) for name in preview.in_doubt),
        teller.refund(),
    )


def _as_it_will_be(preview: Preview, execution: SagaExecution) -> SagaExecution:
    """The execution as the calls will find it: a new run knows the input only."""
    if preview.operation is not Operation.RETRY or execution.state is not SagaState.FAILED:
        return execution
    fresh = copy.copy(execution)
    fresh.context = execution.input
    return fresh


@dataclass(frozen=True)
class _Teller:
    """Finds the words for one preview; of what is not `done` nobody knows yet whether it will be, or was."""

    preview: Preview
    follows: Following
    execution: SagaExecution
    saga: Saga | None
    done: Collection[str]
    personal: bool

    @property
    def calls(self) -> list[Call]:
        """The calls of the preview, and those that follow if all goes well; what an answer leads to is left open."""
        return [*self.preview.calls, *self.follows.surely]

    def lead(self) -> str:
        """What it is about, without the words of the trade that the preview's own sentence may have."""
        if self.follows.possible:
            return gettext("The provider is asked first; as its answer is, it goes on, or what was done is undone.")
        if self.preview.operation is Operation.VERIFY and self.follows.surely:
            return gettext("The provider is asked first; then it goes on, whatever the answer is.")
        if self.preview.operation is Operation.RELEASE:
            return gettext("It goes on from where it stands.")
        if self.preview.operation is Operation.RETRY and self.execution.state is SagaState.FAILED:
            return gettext("It is done once more, from the first step; nothing of the last time counts.")
        return self.preview.sentence

    def sentence(self, call: Call) -> str:
        """What the call does."""
        key, without = WORDS[call.direction]
        return messages.sentence_of(call.step, key, without, self.execution, self.saga, personal=self.personal)

    def doubt(self, name: str) -> str:
        """That nobody knows of the step whether it took effect."""
        case = step_status.IN_DOUBT
        return messages.sentence_of(name, case.key, case.sentence, self.execution, self.saga, personal=self.personal)

    def money(self) -> Iterator[str]:
        """What is charged, and what goes back."""
        if steps := self._paying(Direction.ACTION):
            yield CHARGED % {"sum": self._shown(steps)}
        if steps := self._paying(Direction.COMPENSATION):
            known = any(step.name in self.done for step in steps)
            yield (BACK if known else BACK_IF_CHARGED) % {"sum": self._shown(steps)}
        for direction, sentence in AS_ANSWERED.items():
            if steps := self._with_money(self.follows.possible, direction):
                yield sentence % {"sum": self._shown(steps)}

    def irreversible(self) -> Iterator[str]:
        """What no undo takes back, once it is done."""
        calls = [*self.calls, *self.follows.possible]
        for call in calls:
            step = self._step(call)
            if call.direction is not Direction.ACTION or step is None:
                continue
            if step.compensation is None:
                yield self.sentence(call)
            if step.pivot:
                name = labels.label_of(step)
                yield gettext("Once %(step)s is done, nothing of this can be undone any more.") % {"step": name}
        if any(call.direction is Direction.COMPENSATION for call in calls):
            yield gettext("An undo is for good: what it takes back can only be started anew.")

    def refund(self) -> Amount | HiddenAmount | None:
        """What goes back to the customer, also where that is not known or may not be seen."""
        steps = self._paying(Direction.COMPENSATION)
        return (self._sum(steps) or HiddenAmount(self.execution.saga_id)) if steps else None

    def _shown(self, steps: Sequence[SagaStep]) -> str:
        return str(self._sum(steps) or f"[{steps[0].money}]")

    def _sum(self, steps: Sequence[SagaStep]) -> Amount | None:
        hidden = self.saga.personal if self.saga and not self.personal else ()
        return total_of(steps, (self.execution.context, self.execution.input), hidden)

    def _paying(self, direction: Direction) -> list[SagaStep]:
        return self._with_money(self.calls, direction)

    def _with_money(self, calls: Sequence[Call], direction: Direction) -> list[SagaStep]:
        steps = [self._step(call) for call in calls if call.direction is direction]
        return [step for step in steps if step and step.money]

    def _step(self, call: Call) -> SagaStep | None:
        return self.saga.step(call.step) if self.saga else None
