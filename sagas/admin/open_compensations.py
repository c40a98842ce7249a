"""The open compensations of an execution: what each would do, its status, and the provider's last answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.utils import formats, timezone
from django.utils.translation import gettext_lazy as _

from sagas.conf import get_settings
from sagas.definition.saga import SagaStep
from sagas.definition.states import Direction, Ending, Outcome, SagaState
from sagas.engine.history import StepFacts, deferred_since
from sagas.models import SagaExecution
from sagas.operations.preview_text import WILL_BE_UNDONE
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.labels import name_label
from sagas.presentation.messages import by_hand, sentence_of
from sagas.presentation.redactor import Redactor
from sagas.presentation.step_status import COMPENSATION_UNCERTAIN, IN_DOUBT


class Kind(StrEnum):
    """The value of the filter "Status" that a compensation belongs to."""

    PENDING = "pending"
    DEFERRED = "deferred"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


class Status(StrEnum):
    """The status of an open compensation."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    ACCEPTED = "accepted"
    UNREGISTERED = "unregistered"
    HELD = "held"
    DEFERRED = "deferred"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


LABELS = {
    Status.WAITING: _("Waiting"),
    Status.RUNNING: _("Running"),
    Status.RETRYING: _("Retrying"),
    Status.ACCEPTED: _("Accepted, not finished"),
    Status.UNREGISTERED: _("Not registered"),
    Status.HELD: _("On hold"),
    Status.DEFERRED: _("Provider unavailable"),
    Status.FAILED: _("Failed"),
    Status.IN_DOUBT: _("In doubt"),
}
SENTENCES = {
    Status.WAITING: _("Waiting for its turn. You need not do anything."),
    Status.RUNNING: _("Being undone now."),
    Status.RETRYING: _("Next try: %(at)s"),
    Status.ACCEPTED: _("The provider has accepted it but not finished. Next check: %(at)s"),
    Status.UNREGISTERED: _("The saga “%(saga)s” is not registered here. Ask an administrator."),
    Status.HELD: _("Waiting, because the case is on hold."),
    Status.DEFERRED: _("Provider unavailable. Next try: %(at)s; gives up: %(until)s"),
    Status.FAILED: _("It failed. Someone must deal with it."),
    Status.IN_DOUBT: _("Outcome unknown; someone must check."),
}
KINDS = {Status.DEFERRED: Kind.DEFERRED, Status.FAILED: Kind.FAILED, Status.IN_DOUBT: Kind.IN_DOUBT}
ICONS = {
    Status.RUNNING: "in_progress",
    Status.HELD: "held",
    Status.DEFERRED: "compensating",
    Status.FAILED: "partially_compensated",
    Status.IN_DOUBT: "in_doubt",
}


@dataclass(frozen=True)
class OpenCompensation:
    """An open compensation as the page shows it.

    `summary` says what the compensation does. `in_doubt` is a sentence if it is uncertain whether there is anything to
    compensate, else "". `held` is the reason of a hold. `answer` is the provider's last answer, and `hidden` means that
    the answer cannot be redacted and is left out. `by_hand` says what staff can do. `about` has the customer and the
    references, as pairs of label and value.
    """

    execution: SagaExecution
    step: str
    status: Status
    summary: str
    in_doubt: str
    sentence: str
    held: str
    attempts: int
    answer: str
    hidden: bool
    by_hand: str
    since: dt.datetime
    about: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> Kind:
        """The filter value that finds this compensation."""
        return KINDS.get(self.status, Kind.PENDING)

    @property
    def icon(self) -> str:
        """The name of the icon in icons.svg."""
        return ICONS.get(self.status, "pending")

    @property
    def label(self) -> str:
        """The label of the status in the active language."""
        return str(LABELS[self.status])


def open_compensations(view: ExecutionView, redactor: Redactor) -> list[OpenCompensation]:
    """Return the open compensations of the execution, last step first. All texts are redacted.

    `view` must come from `load_views`, because the answers come from its step runs. If the saga is not registered, the
    steps that may have taken effect are returned.
    """
    if view.saga:
        names = view.remaining
    else:
        # Without a definition the steps with a compensation are not known: take those that may have taken effect.
        facts, all_tried = view.facts, view.state is SagaState.PARTIALLY_COMPENSATED
        uncompensated = [name for name in reversed(view.history.plan) if facts[name].to_compensate]
        names = [name for name in uncompensated if Direction.COMPENSATION in facts[name].last or not all_tried]
    return [_open_compensation(view, name, redactor) for name in names]


def _open_compensation(view: ExecutionView, name: str, redactor: Redactor) -> OpenCompensation:
    facts, step = view.facts[name], view.step(name)
    status = _status(view, step, facts, name)
    compensations = [run for run in view.step_runs if run.direction == Direction.COMPENSATION]
    answer = next((run.error_message for run in reversed(compensations) if run.step == name), "")
    # Open since the start of the first compensation of the run; without one, since the end of the last attempt.
    ends = (run.finished_at for run in view.step_runs)
    started = min((run.started_at for run in compensations), default=None)
    in_doubt = ""
    if facts.in_doubt or (facts.compensation_uncertain and status is not Status.IN_DOUBT):
        text = IN_DOUBT if facts.in_doubt else COMPENSATION_UNCERTAIN
        in_doubt = sentence_of(view, name, text.key, text.sentence, redactor)
    return OpenCompensation(
        execution=view.execution,
        step=name,
        status=status,
        summary=sentence_of(view, name, "to_compensate", WILL_BE_UNDONE, redactor),
        in_doubt=in_doubt,
        sentence=str(SENTENCES[status]) % _times(view, step, facts),
        held=redactor(view.execution.held) if status is Status.HELD else "",
        attempts=facts.counts.get(Direction.COMPENSATION, 0),
        answer=redactor(answer),
        hidden=bool(answer) and redactor.shows_nothing,
        by_hand=by_hand(view, name, redactor),
        since=started or max(ends, default=view.execution.created_at),
        about=_about(view, redactor),
    )


def _status(view: ExecutionView, step: SagaStep | None, facts: StepFacts, name: str) -> Status:
    execution = view.execution
    ended = facts.compensation_ending not in (Ending.NONE, Ending.POISON)
    if ended or execution.state is SagaState.PARTIALLY_COMPENSATED:
        return Status.IN_DOUBT if facts.compensation_in_doubt else Status.FAILED
    if execution.held:
        return Status.HELD
    if view.saga is None:
        return Status.UNREGISTERED
    if execution.leased and view.next_attempt and view.next_attempt.step.name == name:
        return Status.RUNNING
    if step and deferred_since(step, facts):
        return Status.DEFERRED
    last = facts.last.get(Direction.COMPENSATION)
    if last is None or last.retry_at is None:
        return Status.WAITING
    return Status.ACCEPTED if last.outcome is Outcome.PENDING else Status.RETRYING


def _times(view: ExecutionView, step: SagaStep | None, facts: StepFacts) -> Mapping[str, str]:
    """Return the values for the placeholders of the sentences."""
    patience = dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE)
    since = deferred_since(step, facts) if step else None
    until = since + patience if since else None
    at = facts.retry_at(Direction.COMPENSATION)
    texts = {"saga": view.execution.saga_name}
    for key, moment in (("at", at), ("until", until)):
        texts[key] = formats.date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment else ""
    return texts


def _about(view: ExecutionView, redactor: Redactor) -> tuple[tuple[str, str], ...]:
    """Return the customer (the value of the first personal key) and the references."""
    saga, execution = view.saga, view.execution
    if saga is None:
        return ()
    keys = dict.fromkeys([*saga.personal[:1], *saga.references])
    values = {key: execution.context.get(key) or execution.input.get(key) for key in keys}
    shown = redactor({key: str(value) for key, value in values.items() if value and isinstance(value, (str, int))})
    return tuple((name_label(key), value) for key, value in (shown or {}).items())
