"""The undos that are open: what each would do, how it stands, and what its provider has answered last."""

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
from sagas.engine import planner
from sagas.engine.history import StepFacts, deferred_since, facts_of
from sagas.models import SagaExecution, StepRun
from sagas.operations.preview_text import WILL_BE_UNDONE
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.labels import name_label
from sagas.presentation.messages import by_hand, sentence_of
from sagas.presentation.redactor import Redactor
from sagas.presentation.step_status import IN_DOUBT, UNDO_UNCERTAIN


class Kind(StrEnum):
    """What people ask for: undos that go on by themselves or will, and those that do not."""

    PENDING = "pending"
    DEFERRED = "aside"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


class Status(StrEnum):
    """How an open undo stands."""

    WAITING = "waiting"
    IN_HAND = "in_hand"
    AGAIN = "again"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    HELD = "held"
    DEFERRED = "aside"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


WORDS = {
    Status.WAITING: _("Waiting for its turn"),
    Status.IN_HAND: _("Being made"),
    Status.AGAIN: _("Tried again"),
    Status.ACCEPTED: _("Accepted, not finished"),
    Status.UNKNOWN: _("Not known here"),
    Status.HELD: _("Held"),
    Status.DEFERRED: _("Set aside"),
    Status.FAILED: _("Failed for good"),
    Status.IN_DOUBT: _("In doubt"),
}
SENTENCES = {
    Status.WAITING: _("It waits for its turn; nobody has to do anything."),
    Status.IN_HAND: _("It is being made now."),
    Status.AGAIN: _("At %(at)s it is tried again."),
    Status.ACCEPTED: _("The provider has accepted it and has not finished; at %(at)s it is asked again."),
    Status.UNKNOWN: _("Nothing here knows what “%(saga)s” is; call whoever looks after the system."),
    Status.HELD: _("It waits for a person, because the case is held."),
    Status.DEFERRED: _(
        "It is set aside while the provider does not help; at %(at)s it is tried again, and until %(until)s if need be."
    ),
    Status.FAILED: _("It has failed for good; a person has to see to it."),
    Status.IN_DOUBT: _("Nobody knows whether it took effect; a person has to find out."),
}
KINDS = {Status.DEFERRED: Kind.DEFERRED, Status.FAILED: Kind.FAILED, Status.IN_DOUBT: Kind.IN_DOUBT}
ICONS = {
    Status.IN_HAND: "in_progress",
    Status.HELD: "held",
    Status.DEFERRED: "compensating",
    Status.FAILED: "partially_compensated",
    Status.IN_DOUBT: "in_doubt",
}


@dataclass(frozen=True)
class Undo:
    """An open undo. `doubt` says so where nobody knows whether there is something to undo, or left to undo; `held` is
    why nothing goes on, `by_hand` what a person can do, `about` the customer and the references by their labels."""

    execution: SagaExecution
    step: str
    status: Status
    what: str
    doubt: str
    stands: str
    held: str
    attempts: int
    answer: str
    hidden: bool
    by_hand: str
    since: dt.datetime
    about: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> Kind:
        """What people would look for it under."""
        return KINDS.get(self.status, Kind.PENDING)

    @property
    def icon(self) -> str:
        """The name of its icon."""
        return ICONS.get(self.status, "pending")

    @property
    def word(self) -> str:
        """The status in a word or two."""
        return str(WORDS[self.status])


def undos_of(view: ExecutionView, redactor: Redactor) -> list[Undo]:
    """The execution's open undos, last step first."""
    return [_undo(view, name, redactor) for name in _open(view)]


def _open(view: ExecutionView) -> list[str]:
    """Where the definition is not known here, the step runs tell: what took effect, or may have, and stands."""
    if view.saga:
        return planner.remaining(view.saga, view.history)
    facts, tried_all = facts_of(view.history), view.execution.state is SagaState.PARTIALLY_COMPENSATED
    standing = [name for name in reversed(view.history.plan) if facts[name].to_compensate]
    return [name for name in standing if Direction.COMPENSATION in facts[name].last or not tried_all]


def _undo(view: ExecutionView, name: str, redactor: Redactor) -> Undo:
    facts = facts_of(view.history)[name]
    step = view.saga.step(name) if view.saga else None
    status = _status(view, step, facts, name)
    answer = next((run.error_message for run in reversed(view.step_runs) if _is_undo(run, name)), "")
    return Undo(
        execution=view.execution,
        step=name,
        status=status,
        what=sentence_of(view, name, "to_compensate", WILL_BE_UNDONE, redactor),
        doubt=_doubt(view, name, status, redactor),
        stands=str(SENTENCES[status]) % _times(view, step, facts),
        held=redactor(view.execution.held) if status is Status.HELD else "",
        attempts=facts.counts.get(Direction.COMPENSATION, 0),
        answer=redactor(answer),
        hidden=bool(answer) and redactor.shows_nothing,
        by_hand=by_hand(view, name, redactor),
        since=_since(view),
        about=_about(view, redactor),
    )


def _doubt(view: ExecutionView, name: str, status: Status, redactor: Redactor) -> str:
    facts = view.facts[name]
    case = IN_DOUBT if facts.in_doubt else UNDO_UNCERTAIN
    if not facts.in_doubt and (not facts.compensation_uncertain or status is Status.IN_DOUBT):
        return ""
    return sentence_of(view, name, case.key, case.sentence, redactor)


def _is_undo(run: StepRun, step: str) -> bool:
    return run.step == step and run.direction == Direction.COMPENSATION


def _status(view: ExecutionView, step: SagaStep | None, facts: StepFacts, name: str) -> Status:
    execution = view.execution
    ended = facts.compensation_ending not in (Ending.NONE, Ending.POISON)
    if ended or execution.state is SagaState.PARTIALLY_COMPENSATED:
        return Status.IN_DOUBT if facts.compensation_in_doubt else Status.FAILED
    if execution.held:
        return Status.HELD
    if view.saga is None:
        return Status.UNKNOWN
    if execution.leased and _is_next(view, name):
        return Status.IN_HAND
    if step and deferred_since(step, facts):
        return Status.DEFERRED
    last = facts.last.get(Direction.COMPENSATION)
    if last is None or last.retry_at is None:
        return Status.WAITING
    return Status.ACCEPTED if last.outcome is Outcome.PENDING else Status.AGAIN


def _is_next(view: ExecutionView, name: str) -> bool:
    attempt = planner.in_flight(view.saga, view.history) if view.saga else None
    return attempt is not None and attempt.step.name == name


def _times(view: ExecutionView, step: SagaStep | None, facts: StepFacts) -> Mapping[str, str]:
    """What the sentences have places for; a moment that there is none of is not asked for."""
    patience = dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE)
    since = deferred_since(step, facts) if step else None
    until = since + patience if since else None
    at = facts.retry_at(Direction.COMPENSATION)
    return {"at": _moment(at), "until": _moment(until), "saga": view.execution.saga_name}


def _moment(moment: dt.datetime | None) -> str:
    return formats.date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment else ""


def _since(view: ExecutionView) -> dt.datetime:
    """When the first undo of the run began; before that, when the last attempt ended."""
    begun = [run.started_at for run in view.step_runs if run.direction == Direction.COMPENSATION]
    ended = [run.finished_at for run in view.step_runs]
    return min(begun) if begun else max(ended, default=view.execution.created_at)


def _about(view: ExecutionView, redactor: Redactor) -> tuple[tuple[str, str], ...]:
    """The customer, who is what the first personal key names, and what people search by."""
    saga, execution = view.saga, view.execution
    if saga is None:
        return ()
    keys = dict.fromkeys([*saga.personal[:1], *saga.references])
    values = {key: execution.context.get(key) or execution.input.get(key) for key in keys}
    told = redactor({key: str(value) for key, value in values.items() if value and isinstance(value, (str, int))})
    return tuple((name_label(key), value) for key, value in (told or {}).items())
