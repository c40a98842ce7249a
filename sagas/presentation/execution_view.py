"""What a verdict is found from, and what it is told in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from sagas.definition.saga import Saga, SagaStep
from sagas.engine import planner
from sagas.engine.history import History
from sagas.engine.planner import Attempt
from sagas.models import SagaEvent, SagaExecution
from sagas.models.clock import CLOCK
from sagas.storage import database

from .labels import step_label
from .messages import StepStatus
from .redactor import Veil
from .step_lines import Line

GOOD, BUSY, BAD, DOUBT = "good", "busy", "bad", "doubt"
FEW = 20


class Diagnosis(NamedTuple):
    """Its tone, how it stands, and what to do about it."""

    tone: str
    headline: str
    advice: str


@dataclass(frozen=True)
class Stands:
    """An execution with what its history says, and what of it its reader may see."""

    execution: SagaExecution
    saga: Saga
    history: History
    lines: tuple[Line, ...]
    veil: Veil

    def those(self, *statuses: StepStatus) -> list[str]:
        """The names of the steps that stand so."""
        return [line.step for line in self.lines if line.status in statuses]

    def names(self, *statuses: StepStatus) -> str:
        """The same, as people write them; "" if there is none."""
        return self.in_words(self.those(*statuses))

    def in_words(self, names: Iterable[str]) -> str:
        """Several steps by name."""
        return ", ".join(_("“%(step)s”") % {"step": self.called(name)} for name in names)

    def called(self, name: str) -> str:
        """What people call the step."""
        return step_label(name, self.saga)

    @property
    def next_attempt(self) -> Attempt | None:
        """The attempt that is made or comes next."""
        return planner.in_flight(self.saga, self.history)

    @property
    def waits_until(self) -> dt.datetime | None:
        """When it goes on, if that is still to come and nobody has it in hand."""
        due = self.execution.due_at
        waits = due is not None and not self.execution.leased and due > CLOCK.by_host()
        return due if waits else None

    @property
    def left_standing(self) -> list[SagaStep]:
        """The steps that are done, and have no undo."""
        steps = [self.saga.step(name) for name in self.those(StepStatus.DONE)]
        return [step for step in steps if step and step.compensation is None]

    def events(self, *kinds: SagaEvent.Kind) -> QuerySet[SagaEvent]:
        """The newest events of these kinds in this run, newest first."""
        events = self.execution.events.using(database.alias()).filter(kind__in=kinds, run=self.execution.run)
        return events.order_by("-id")[:FEW]


def who(event: SagaEvent | None) -> str:
    """Who did it, as far as that is known."""
    return event.actor_name if event and event.actor_name else _("somebody")
