"""The groups of executions that the home page counts and the list can filter by."""

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
    """A group of executions.

    `select` filters a queryset. `parameters` is the query string that makes the list show the same executions.
    """

    title: Promise
    description: Promise
    select: Callable[[ExecutionQuerySet], ExecutionQuerySet]
    parameters: str


def in_doubt(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Select executions that need attention, have stopped, and have a step in doubt.

    Stopped means held, failed or partially compensated. A step is in doubt if an action or compensation of the current
    run ended uncertain or pending, and no later success, verify or resolution of that step settled it.
    """
    stopped = ~Q(held="") | Q(state__in=[SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED])
    in_doubt_runs = StepRun.objects.filter(
        execution=OuterRef("pk"),
        run=OuterRef("run"),
        direction__in=[Direction.ACTION, Direction.COMPENSATION],
        outcome__in=[Outcome.UNCERTAIN, Outcome.PENDING],
    )
    settling = (
        Q(direction=Direction.RESOLVED)
        | Q(direction=Direction.VERIFY, outcome__in=[Outcome.SUCCEEDED, Outcome.FAILED])
        | Q(direction__in=[Direction.ACTION, Direction.COMPENSATION], outcome=Outcome.SUCCEEDED)
    )
    later = StepRun.objects.filter(
        settling, execution=OuterRef("execution"), step=OuterRef("step"), sequence__gt=OuterRef("sequence")
    )
    return executions.needing_attention().filter(stopped, Exists(in_doubt_runs.filter(~Exists(later))))


def compensating(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Select executions that are compensating and not on hold."""
    return executions.in_state(SagaState.COMPENSATING).filter(held="")


def waiting(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Select executions that are pending or in progress, and neither leased nor on hold.

    The conditions match the index of due executions.
    """
    due = executions.filter(priority__in=list(Priority), due_at__isnull=False)
    return due.in_state(SagaState.PENDING, SagaState.IN_PROGRESS).filter(held="", leased=False)


def running(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Select executions in progress that a worker has leased."""
    return executions.leased_rows().in_state(SagaState.IN_PROGRESS).filter(held="")


TILES = {
    "attention": Tile(
        _("Needs attention"),
        _("On hold, partly undone, or failed unexpectedly. Someone must look at them."),
        ExecutionQuerySet.needing_attention,
        "needs_attention=yes",
    ),
    "in_doubt": Tile(
        _("In doubt"),
        _("Outcome unknown; someone must check."),
        in_doubt,
        "now=in_doubt",
    ),
    "compensating": Tile(_("Being undone"), _("Their steps are being undone."), compensating, "now=compensating"),
    "waiting": Tile(_("Waiting"), _("Waiting for their turn or for the next attempt."), waiting, "now=waiting"),
    "running": Tile(_("Running"), _("A worker is running them now."), running, "now=running"),
}
