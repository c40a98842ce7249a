"""Check the health of the installation. The command `saga_doctor` shows the findings, in this order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.core import checks
from django.db import Error as DatabaseError
from django.db import connections, models
from django.db.models.functions import Cast, Coalesce, Now
from django.utils import timezone
from django.utils.translation import ngettext

from sagas.definition.registry import all_sagas
from sagas.models import SagaExecution, SagaWorker
from sagas.models.querysets import ago
from sagas.storage import database

MAX_CLOCK_DIFFERENCE = 5.0
OVERDUE_AFTER = 10.0
FORGOTTEN_AFTER = 3600.0


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """The result of one check: a sentence, and the cure if there is a problem."""

    subject: str
    level: Level
    sentence: str
    cure: str = ""


@dataclass(frozen=True)
class InFlight:
    """The unfinished executions of one saga and plan.

    `plan` is JSON. `missing_step` is the first step of the plan that the current code does not define, or "".
    """

    saga_name: str
    plan: str
    count: int
    missing_step: str


def in_flight(executions: models.QuerySet[SagaExecution]) -> list[InFlight]:
    """Group unfinished executions by saga and plan."""
    # Read the plan as text, because one unreadable plan would otherwise make the whole query fail.
    plan = Cast("plan", models.TextField())
    rows = executions.order_by("saga_name").values_list("saga_name", plan).annotate(count=models.Count("id"))
    return [InFlight(name, plan, count, _missing_step(name, plan)) for name, plan, count in rows]


def examine() -> list[Finding]:
    """Run all checks and return their findings. Stop early if the database is not available."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found.extend(check())
        except DatabaseError as error:
            first_line = str(error).partition("\n")[0].rstrip(".")
            sentence = f"The database is not available: {first_line}."
            return [*found, Finding("database", Level.BROKEN, sentence, "Start it and run the migrations.")]
    return found


def _missing_step(saga_name: str, plan: str) -> str:
    """Return the first step of the plan that is not defined. Return "" if there is none or the plan is unreadable."""
    try:
        steps = json.loads(plan)
    except (ValueError, RecursionError):
        return ""
    names = [step for step in steps if isinstance(step, str)] if isinstance(steps, list) else []
    saga = all_sagas().get(saga_name)
    return next((name for name in names if saga is None or saga.step(name) is None), "")


def _settings() -> Iterator[Finding]:
    """Report the findings of `manage.py check --database`. Leave out the checks that the project has silenced."""
    ours = [found for found in checks.run_checks(databases=[database.alias()]) if str(found.id).startswith("sagas.")]
    messages = [message for message in ours if not message.is_silenced()]
    for message in messages:
        level = Level.BROKEN if message.level >= checks.ERROR else Level.WARNING
        yield Finding("settings", level, f"{message.msg} ({message.id})", str(message.hint or ""))
    if not messages:
        yield Finding("settings", Level.OK, "The system checks find no problems.")


def _database() -> Iterator[Finding]:
    here = connections[database.alias()]
    here.ensure_connection()
    version = ".".join(str(part) for part in here.get_database_version())
    yield Finding("database", Level.OK, f"{here.display_name} {version} answers.")


def _clocks() -> Iterator[Finding]:
    # An aggregate returns one row even if the table has no executions.
    nothing = SagaExecution.objects.using(database.alias()).filter(pk=0)
    before = timezone.now()
    now = nothing.aggregate(now=Coalesce(models.Max("created_at"), Now(output_field=models.DateTimeField())))["now"]
    apart = abs((now - before).total_seconds())
    if apart > MAX_CLOCK_DIFFERENCE:
        sentence = f"The clocks of this host and of the database differ by {apart:.0f} s; leases use the database's."
        yield Finding("clocks", Level.WARNING, sentence, "Synchronize both with the same time server.")
    else:
        yield Finding("clocks", Level.OK, "The clocks of this host and of the database agree.")


def _workers() -> Iterator[Finding]:
    workers = SagaWorker.objects.using(database.alias())
    alive = workers.filter(seen_at__gte=ago(SagaWorker.UNSEEN))
    count = alive.count()
    if count:
        yield from _running(alive, count)
    else:
        level = Level.BROKEN if _late() else Level.WARNING
        yield Finding("workers", level, "No worker is running.", "Start manage.py saga_workers.")
    gone = workers.filter(seen_at__gte=ago(FORGOTTEN_AFTER)).count() - count
    if gone > 0:
        words = ngettext(
            "%(count)d worker has not reported for %(seconds)d s.",
            "%(count)d workers have not reported for %(seconds)d s.",
            gone,
        )
        sentence = words % {"count": gone, "seconds": SagaWorker.UNSEEN}
        yield Finding("workers", Level.WARNING, sentence, "Check whether they run and reach the database.")


def _running(alive: models.QuerySet[SagaWorker], count: int) -> Iterator[Finding]:
    of = alive.aggregate(running=models.Sum("running"), free=models.Sum("free"), stuck=models.Sum("stuck"))
    words = ngettext(
        "%(count)d worker is running; sagas: %(running)d, free threads: %(free)d.",
        "%(count)d workers are running; sagas: %(running)d, free threads: %(free)d.",
        count,
    )
    yield Finding("workers", Level.OK, words % {"count": count, **of})
    if of["stuck"]:
        words = ngettext(
            "%(stuck)d thread is stuck in a step that does not return.",
            "%(stuck)d threads are stuck in steps that do not return.",
            of["stuck"],
        )
        yield Finding("workers", Level.WARNING, words % of, "Set a timeout on the calls that the step makes.")


def _work() -> Iterator[Finding]:
    late = _late()
    if late:
        words = ngettext(
            "%(count)d saga has been due for more than %(seconds)d s.",
            "%(count)d sagas have been due for more than %(seconds)d s.",
            late,
        )
        sentence = words % {"count": late, "seconds": OVERDUE_AFTER}
        yield Finding("work", Level.WARNING, sentence, "Add workers or threads, or check why none claims them.")
    else:
        yield Finding("work", Level.OK, "No saga is overdue.")


def _late() -> int:
    return SagaExecution.objects.using(database.alias()).of_sagas(all_sagas()).due(OVERDUE_AFTER).count()


def _leases() -> Iterator[Finding]:
    executions = SagaExecution.objects.using(database.alias())
    lost = executions.leased_rows().filter(due_at__lt=ago(OVERDUE_AFTER)).count()
    if lost:
        words = ngettext(
            "%(count)d saga has lost its worker and has not been recovered.",
            "%(count)d sagas have lost their workers and have not been recovered.",
            lost,
        )
        cure = "A running worker that has the saga registered recovers it."
        yield Finding("leases", Level.WARNING, words % {"count": lost}, cure)
    else:
        yield Finding("leases", Level.OK, "No lease has expired.")


def _attention() -> Iterator[Finding]:
    """Report how many sagas need attention. The level is OK, because this is not a problem of the installation."""
    count = SagaExecution.objects.using(database.alias()).needing_attention().count()
    words = ngettext("%(count)d saga needs attention.", "%(count)d sagas need attention.", count)
    yield Finding("attention", Level.OK, words % {"count": count} if count else "No saga needs attention.")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _database,
    _settings,
    _clocks,
    _workers,
    _work,
    _leases,
    _attention,
)
