"""What diagnoses consist of, and the phrases that they share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from sagas.models import SagaEvent
from sagas.storage import database

from .execution_view import ExecutionView
from .labels import step_label
from .step_status import StepStatus, describe_step

GOOD, BUSY, BAD, DOUBT = "good", "busy", "bad", "doubt"
EVENTS_READ = 20


class Diagnosis(NamedTuple):
    """How an execution stands, with its tone, and what to do about it."""

    tone: str
    headline: str
    advice: str


def names_with(view: ExecutionView, *statuses: StepStatus) -> list[str]:
    """The names of the steps that have one of these statuses."""
    return [name for name in view.history.plan if describe_step(view, name).status in statuses]


def quoted_with(view: ExecutionView, *statuses: StepStatus) -> str:
    """The labels of the steps that have one of these statuses, quoted; "" if there are none."""
    return quoted(view, names_with(view, *statuses))


def quoted(view: ExecutionView, names: Iterable[str]) -> str:
    """The labels of these steps, quoted and separated by commas."""
    return ", ".join(_("“%(step)s”") % {"step": step_label(name, view.saga)} for name in names)


def events_of(view: ExecutionView, *kinds: SagaEvent.Kind) -> QuerySet[SagaEvent]:
    """The newest events of these kinds in the current run, newest first."""
    events = view.execution.events.using(database.alias()).filter(kind__in=kinds, run=view.execution.run)
    return events.order_by("-id")[:EVENTS_READ]


def who(event: SagaEvent | None) -> str:
    """The name of the event's actor, or "somebody"."""
    return event.actor_name if event and event.actor_name else _("somebody")
