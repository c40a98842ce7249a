"""The text of a preview: the calls, the money that they move, and the steps that cannot be reversed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import SagaStep
from sagas.definition.states import Direction
from sagas.engine.history import steps_completed
from sagas.presentation import labels, messages, step_status
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.redactor import Redactor

from .money import Amount, HiddenAmount, total_of
from .operation import Call, Operation, Preview
from .preview import Consequences, consequences, starts_over

WILL_BE_DONE = pgettext_lazy("what a call would do", "%(step)s will be done.")
WILL_BE_UNDONE = pgettext_lazy("what a call would do", "%(step)s will be undone.")
WILL_BE_ASKED = _("The provider will be asked whether %(step)s was done.")
CHARGED = _("%(amount)s will be charged to the customer.")
REFUNDED = _("%(amount)s will be refunded to the customer.")
REFUNDED_IF_CHARGED = _("%(amount)s will be refunded to the customer, if it was charged.")
AFTER_ANSWER = {
    Direction.ACTION: _("If it goes on, %(amount)s will be charged to the customer."),
    Direction.COMPENSATION: _(
        "If it is undone, what was charged will be refunded to the customer: at most %(amount)s."
    ),
}
# For each direction: the key of the step's wording, and the sentence for a step that does not define that wording.
SENTENCES = {
    Direction.ACTION: ("to_do", WILL_BE_DONE),
    Direction.COMPENSATION: ("to_compensate", WILL_BE_UNDONE),
    Direction.VERIFY: ("", WILL_BE_ASKED),
}


@dataclass(frozen=True)
class CallText:
    """A call, and a sentence that describes it."""

    call: Call
    sentence: str


@dataclass(frozen=True)
class PreviewText:
    """The text that people read before they confirm an operation.

    `possible` are the calls that depend on a provider's answer. `refund` is the amount that will be refunded to the
    customer, or None if a refund is not certain.
    """

    sentence: str
    calls: tuple[CallText, ...]
    possible: tuple[CallText, ...]
    not_repeated: tuple[str, ...]
    money: tuple[str, ...]
    irreversible: tuple[str, ...]
    in_doubt: tuple[str, ...]
    refund: Amount | HiddenAmount | None


def describe(preview: Preview, view: ExecutionView, redactor: Redactor) -> PreviewText:
    """Return the text of the preview in the active language."""
    follow = consequences(preview.operation, preview.calls, view)
    seen_by_calls = view
    if starts_over(preview.operation, view):  # a new run has only the input
        execution = copy.copy(view.execution)
        execution.context = execution.input
        seen_by_calls = dataclasses.replace(view, execution=execution)
    writer = _Writer(preview, follow, seen_by_calls, redactor)
    in_doubt = step_status.IN_DOUBT
    kept = set(preview.not_repeated) - {call.step for call in writer.calls}
    return PreviewText(
        sentence=writer.lead(),
        calls=writer.texts(writer.calls),
        possible=writer.texts(follow.possible),
        not_repeated=tuple(step.sentence for step in messages.step_texts(view, redactor) if step.name in kept),
        money=tuple(writer.money()),
        irreversible=tuple(writer.irreversible()),
        in_doubt=tuple(
            messages.sentence_of(seen_by_calls, name, in_doubt.key, in_doubt.sentence, redactor)
            for name in preview.in_doubt
        ),
        refund=writer.refund(),
    )


@dataclass(frozen=True)
class _Writer:
    """Writes the sentences of one preview."""

    preview: Preview
    follow: Consequences
    view: ExecutionView
    redactor: Redactor

    @property
    def calls(self) -> list[Call]:
        """The calls of the preview, and the calls that certainly follow."""
        return [*self.preview.calls, *self.follow.certain]

    def lead(self) -> str:
        """Describe the operation without the technical terms of `Preview.sentence`."""
        operation = self.preview.operation
        if self.follow.possible:
            return gettext("The provider is asked first. Depending on the answer, it goes on or is undone.")
        if operation is Operation.VERIFY and self.follow.certain:
            return gettext("The provider is asked first. Whatever the answer is, it goes on.")
        if operation is Operation.RELEASE:
            return gettext("It goes on where it stopped.")
        if starts_over(operation, self.view):
            return gettext("Runs every step again.")
        return self.preview.sentence

    def texts(self, calls: Sequence[Call]) -> tuple[CallText, ...]:
        """Return each call with its sentence."""
        return tuple(CallText(call, self.sentence(call)) for call in calls)

    def sentence(self, call: Call) -> str:
        """Return a sentence that describes the call."""
        key, default = SENTENCES[call.direction]
        return messages.sentence_of(self.view, call.step, key, default, self.redactor)

    def money(self) -> Iterator[str]:
        """Yield sentences about the amounts that will be charged and refunded."""
        if steps := self._with_money(self.calls, Direction.ACTION):
            yield CHARGED % {"amount": self._shown(steps)}
        if steps := self._with_money(self.calls, Direction.COMPENSATION):
            done = steps_completed(self.view.history)
            certain = any(step.name in done for step in steps)
            yield (REFUNDED if certain else REFUNDED_IF_CHARGED) % {"amount": self._shown(steps)}
        for direction, sentence in AFTER_ANSWER.items():
            if steps := self._with_money(self.follow.possible, direction):
                yield sentence % {"amount": self._shown(steps)}

    def irreversible(self) -> Iterator[str]:
        """Yield sentences about the steps that cannot be reversed."""
        calls = [*self.calls, *self.follow.possible]
        for call in calls:
            step = self.view.step(call.step)
            if call.direction is not Direction.ACTION or step is None:
                continue
            if step.compensation is None:
                yield self.sentence(call)
            if step.pivot:
                yield gettext("After %(step)s, nothing can be undone any more.") % {"step": labels.label_of(step)}
        if any(call.direction is Direction.COMPENSATION for call in calls):
            yield gettext("What is undone can't be restored.")

    def refund(self) -> Amount | HiddenAmount | None:
        """Return the refund: an amount, a HiddenAmount if it is unknown or hidden, or None without a refund."""
        steps = self._with_money(self.calls, Direction.COMPENSATION)
        return (self._total(steps) or HiddenAmount(self.view.execution.saga_id)) if steps else None

    def _shown(self, steps: Sequence[SagaStep]) -> str:
        return str(self._total(steps) or f"[{steps[0].money}]")

    def _total(self, steps: Sequence[SagaStep]) -> Amount | None:
        execution = self.view.execution
        return total_of(steps, (execution.context, execution.input), self.redactor.hidden_keys)

    def _with_money(self, calls: Sequence[Call], direction: Direction) -> list[SagaStep]:
        steps = [self.view.step(call.step) for call in calls if call.direction is direction]
        return [step for step in steps if step and step.money]
