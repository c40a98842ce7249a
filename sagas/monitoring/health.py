"""Whether the installation is fit to run sagas: what a person on call would look at, in order."""

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

CLOCKS_APART = 5.0
WAITS_TOO_LONG = 10.0
NO_NEWS = 3600.0


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it is, in a sentence, and what to do about it."""

    subject: str
    level: Level
    sentence: str
    cure: str = ""


@dataclass(frozen=True)
class InFlight:
    """Unfinished executions of a saga with one plan, as its JSON, and the first step of it that today's code lacks."""

    saga_name: str
    plan: str
    count: int
    gone: str


def in_flight(executions: models.QuerySet[SagaExecution]) -> list[InFlight]:
    """These unfinished executions, by saga and plan; those with a step that is gone will be held (promise 14)."""
    # As text, for one plan that cannot be read would hide the others.
    plan = Cast("plan", models.TextField())
    rows = executions.order_by("saga_name").values_list("saga_name", plan).annotate(count=models.Count("id"))
    return [InFlight(name, plan, count, _gone(name, plan)) for name, plan, count in rows]


def examine() -> list[Finding]:
    """All findings; a database that cannot be asked is the last of them."""
    found: list[Finding] = []
    for look in LOOKS:
        try:
            found.extend(look())
        except DatabaseError as error:
            sentence = f"The database cannot be asked: {_first_line(error)}."
            return [*found, Finding("database", Level.BROKEN, sentence, "Bring it up, and run the migrations.")]
    return found


def _gone(saga_name: str, plan: str) -> str:
    """The first planned step that is not defined any more, "" if there is none."""
    saga = all_sagas().get(saga_name)
    return next((step for step in _steps(plan) if saga is None or saga.step(step) is None), "")


def _steps(plan: str) -> list[str]:
    try:
        steps = json.loads(plan)
    except (ValueError, RecursionError):
        return []
    return [step for step in steps if isinstance(step, str)] if isinstance(steps, list) else []


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _settings() -> Iterator[Finding]:
    """What `manage.py check` finds, with the database; what the project has silenced it does not want to hear."""
    ours = [found for found in checks.run_checks(databases=[database.alias()]) if str(found.id).startswith("sagas.")]
    messages = [message for message in ours if not message.is_silenced()]
    for message in messages:
        level = Level.BROKEN if message.level >= checks.ERROR else Level.WARNING
        yield Finding("settings", level, f"{message.msg} ({message.id})", str(message.hint or ""))
    if not messages:
        yield Finding("settings", Level.OK, "The system checks of sagas find nothing.")


def _database() -> Iterator[Finding]:
    here = connections[database.alias()]
    here.ensure_connection()
    version = ".".join(str(part) for part in here.get_database_version())
    yield Finding("database", Level.OK, f"{here.display_name} {version} answers.")


def _clocks() -> Iterator[Finding]:
    # One row, also where there is no execution.
    nothing = SagaExecution.objects.using(database.alias()).filter(pk=0)
    before = timezone.now()
    now = nothing.aggregate(now=Coalesce(models.Max("created_at"), Now(output_field=models.DateTimeField())))["now"]
    apart = abs((now - before).total_seconds())
    if apart > CLOCKS_APART:
        sentence = f"This host's clock and the database's are {apart:.0f} s apart; leases go by the database's."
        yield Finding("clocks", Level.WARNING, sentence, "Let both follow the same time server.")
    else:
        yield Finding("clocks", Level.OK, "This host's clock and the database's agree.")


def _workers() -> Iterator[Finding]:
    workers = SagaWorker.objects.using(database.alias())
    alive = workers.filter(seen_at__gte=ago(SagaWorker.UNSEEN))
    count = alive.count()
    if count:
        yield from _living(alive, count)
    else:
        level = Level.BROKEN if _late() else Level.WARNING
        yield Finding("workers", level, "No worker is alive.", "Start manage.py saga_workers.")
    gone = workers.filter(seen_at__gte=ago(NO_NEWS)).count() - count
    if gone > 0:
        words = ngettext(
            "%(count)d worker has not been seen for %(seconds)d s.",
            "%(count)d workers have not been seen for %(seconds)d s.",
            gone,
        )
        sentence = words % {"count": gone, "seconds": SagaWorker.UNSEEN}
        yield Finding("workers", Level.WARNING, sentence, "Were they killed, or do they not reach the database?")


def _living(alive: models.QuerySet[SagaWorker], count: int) -> Iterator[Finding]:
    of = alive.aggregate(running=models.Sum("running"), free=models.Sum("free"), stuck=models.Sum("stuck"))
    words = ngettext(
        "%(count)d worker is alive; sagas in hand: %(running)d, free threads: %(free)d.",
        "%(count)d workers are alive; sagas in hand: %(running)d, free threads: %(free)d.",
        count,
    )
    yield Finding("workers", Level.OK, words % {"count": count, **of})
    if of["stuck"]:
        words = ngettext(
            "%(stuck)d thread is stuck in a step that does not come back.",
            "%(stuck)d threads are stuck in steps that do not come back.",
            of["stuck"],
        )
        yield Finding("workers", Level.WARNING, words % of, "Give what such a step calls a time-out of its own.")


def _work() -> Iterator[Finding]:
    late = _late()
    if late:
        words = ngettext(
            "%(count)d saga has been due for more than %(seconds)d s.",
            "%(count)d sagas have been due for more than %(seconds)d s.",
            late,
        )
        sentence = words % {"count": late, "seconds": WAITS_TOO_LONG}
        yield Finding("work", Level.WARNING, sentence, "Add workers or threads, or look why they do not take them.")
    else:
        yield Finding("work", Level.OK, "Nothing that is due waits.")


def _late() -> int:
    return SagaExecution.objects.using(database.alias()).of_sagas(all_sagas()).due(WAITS_TOO_LONG).count()


def _leases() -> Iterator[Finding]:
    executions = SagaExecution.objects.using(database.alias())
    lost = executions.leased_rows().filter(due_at__lt=ago(WAITS_TOO_LONG)).count()
    if lost:
        words = ngettext(
            "%(count)d saga was in the hands of a process that died, and nobody has gone on with it.",
            "%(count)d sagas were in the hands of processes that died, and nobody has gone on with them.",
            lost,
        )
        cure = "A worker that knows the saga takes it over by itself."
        yield Finding("leases", Level.WARNING, words % {"count": lost}, cure)
    else:
        yield Finding("leases", Level.OK, "No lease has run out unnoticed.")


def _attention() -> Iterator[Finding]:
    """Sagas that wait for a person are the business's news, not the installation's."""
    count = SagaExecution.objects.using(database.alias()).needing_attention().count()
    words = ngettext("%(count)d saga waits for a person.", "%(count)d sagas wait for a person.", count)
    yield Finding("attention", Level.OK, words % {"count": count} if count else "No saga waits for a person.")


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _database,
    _settings,
    _clocks,
    _workers,
    _work,
    _leases,
    _attention,
)
