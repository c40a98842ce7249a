"""The sets of executions that people watch: each with the list that shows the very rows that are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Direction, Outcome, Priority, SagaState
from sagas.models import StepRun
from sagas.models.querysets import ExecutionQuerySet


@dataclass(frozen=True)
class Tile:
    """A set: its title, what is in it, and its query; `parameters` are the list's that show it."""

    title: Promise
    says: Promise
    of: Callable[[ExecutionQuerySet], ExecutionQuerySet]
    parameters: str


def needs_attention(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """The dead letters."""
    return executions.needing_attention()


def in_doubt(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Those that need attention, do not go on by themselves, and have a step of which nobody knows what it did.

    That is: they are held, or have failed or been undone in part; and in their current run an attempt of an action or
    of an undo has ended uncertain, or pending, after which nothing has told what became of that step: no success, no
    answer of its provider, no word of a person. It reads the step runs of what needs attention and no others.
    """
    stopped = ~Q(held="") | Q(state__in=[SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED])
    doubts = StepRun.objects.filter(
        execution=OuterRef("pk"),
        run=OuterRef("run"),
        direction__in=[Direction.ACTION, Direction.COMPENSATION],
        outcome__in=[Outcome.UNCERTAIN, Outcome.PENDING],
    )
    told = (
        Q(direction=Direction.RESOLVED)
        | Q(direction=Direction.VERIFY, outcome__in=[Outcome.SUCCEEDED, Outcome.FAILED])
        | Q(direction__in=[Direction.ACTION, Direction.COMPENSATION], outcome=Outcome.SUCCEEDED)
    )
    later = StepRun.objects.filter(
        told, execution=OuterRef("execution"), step=OuterRef("step"), sequence__gt=OuterRef("sequence")
    )
    return executions.needing_attention().filter(stopped, Exists(doubts.filter(~Exists(later))))


def undoing(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Those on their way back."""
    return executions.in_state(SagaState.COMPENSATING).filter(held="")


def waiting(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Those on their way that no worker has in hand; each is due some time, and what is due has an index."""
    due = executions.filter(priority__in=list(Priority), due_at__isnull=False)
    return due.in_state(SagaState.PENDING, SagaState.IN_PROGRESS).filter(held="", leased=False)


def running(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Those on their way that a worker has in hand."""
    return executions.leased_rows().in_state(SagaState.IN_PROGRESS).filter(held="")


TILES = {
    "attention": Tile(
        _("Needs attention"),
        _("Held, undone only in part, or failed for an unexpected reason: a person has to look at them."),
        needs_attention,
        "needs_attention=yes",
    ),
    "in_doubt": Tile(
        _("In doubt"),
        _("They have stopped, and nobody knows what one of their steps has done: a person has to find out."),
        in_doubt,
        "now=in_doubt",
    ),
    "undoing": Tile(_("Undoing"), _("What they have done is being taken back."), undoing, "now=undoing"),
    "waiting": Tile(_("Waiting"), _("They wait for their turn, or for the next attempt."), waiting, "now=waiting"),
    "running": Tile(_("Running"), _("They are being worked on now."), running, "now=running"),
}
