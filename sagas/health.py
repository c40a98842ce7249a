"""Whether the installation is fit to run sagas: what a person on call would look at, in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.core import checks
from django.db import DatabaseError, connections, models
from django.db.models.functions import Now
from django.utils import timezone

from . import journal
from .conf import get_settings
from .models import SagaExecution, SagaWorker
from .registry import all_sagas

CLOCKS_APART = 5.0
WAITS_TOO_LONG = 10.0
NOT_SEEN = 60.0


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


def examine() -> list[Finding]:
    """All findings; a database that cannot be asked is the last of them."""
    found: list[Finding] = []
    for look in LOOKS:
        try:
            found.extend(look())
        except DatabaseError as error:
            sentence = f"The database cannot be asked: {type(error).__name__}."
            return [*found, Finding("database", Level.BROKEN, sentence, "Bring it up, and run the migrations.")]
    return found


def _settings() -> Iterator[Finding]:
    """What `manage.py check` finds, with the database."""
    messages = [m for m in checks.run_checks(databases=[journal.alias()]) if str(m.id).startswith("sagas.")]
    for message in messages:
        level = Level.BROKEN if message.level >= checks.ERROR else Level.WARNING
        yield Finding("settings", level, f"{message.msg} ({message.id})", str(message.hint or ""))
    if not messages:
        yield Finding("settings", Level.OK, "The system checks of sagas find nothing.")


def _database() -> Iterator[Finding]:
    here = connections[journal.alias()]
    here.ensure_connection()
    version = ".".join(str(part) for part in here.get_database_version())
    yield Finding("database", Level.OK, f"{here.display_name} {version} answers.")


def _clocks() -> Iterator[Finding]:
    before = timezone.now()
    now = Now(output_field=models.DateTimeField())
    theirs: dt.datetime | None = SagaExecution.objects.using(journal.alias()).values_list(now, flat=True).first()
    apart = abs((theirs - before).total_seconds()) if theirs else 0.0
    if apart > CLOCKS_APART:
        sentence = f"This host's clock and the database's are {apart:.0f} s apart; leases go by the database's."
        yield Finding("clocks", Level.WARNING, sentence, "Let both follow the same time server.")
    else:
        yield Finding("clocks", Level.OK, "This host's clock and the database's agree.")


def _workers() -> Iterator[Finding]:
    workers = SagaWorker.objects.using(journal.alias())
    alive = workers.filter(seen_at__gte=journal.ago(NOT_SEEN))
    late = journal.overdue(list(all_sagas()), by=WAITS_TOO_LONG)
    if not alive.exists():
        level = Level.BROKEN if late else Level.WARNING
        yield Finding("workers", level, "No worker is alive.", "Start manage.py saga_workers.")
    else:
        of = alive.aggregate(running=models.Sum("running"), free=models.Sum("free"), stuck=models.Sum("stuck"))
        sentence = f"{alive.count()} alive, {of['running']} sagas in hand, {of['free']} threads free."
        yield Finding("workers", Level.OK, sentence)
        if of["stuck"]:
            sentence = f"{of['stuck']} threads are stuck in steps that do not come back."
            yield Finding("workers", Level.WARNING, sentence, "Give these steps time-outs of their own.")
    gone = workers.count() - alive.count()
    if gone:
        sentence = f"{gone} have not been seen for {NOT_SEEN:g} s."
        yield Finding("workers", Level.WARNING, sentence, "They died or cannot reach the database.")


def _work() -> Iterator[Finding]:
    late = journal.overdue(list(all_sagas()), by=WAITS_TOO_LONG)
    if late:
        sentence = f"{late} sagas have been due for more than {WAITS_TOO_LONG:g} s."
        yield Finding("work", Level.WARNING, sentence, "Add workers or threads, or look why they do not take them.")
    else:
        yield Finding("work", Level.OK, "Nothing that is due waits.")


def _leases() -> Iterator[Finding]:
    executions = SagaExecution.objects.using(journal.alias())
    lost = executions.filter(leased=True, due_at__lt=journal.ago(WAITS_TOO_LONG)).count()
    if lost:
        sentence = f"{lost} sagas were in the hands of workers that died, and nobody has gone on with them."
        yield Finding("leases", Level.WARNING, sentence, "A worker that knows the saga takes them over by itself.")
    else:
        yield Finding("leases", Level.OK, f"No lease of {get_settings().LEASE:g} s has run out unnoticed.")


def _attention() -> Iterator[Finding]:
    """Sagas that wait for a person are the business's news, not the installation's."""
    count = SagaExecution.objects.using(journal.alias()).needing_attention().count()
    yield Finding(
        "attention", Level.OK, f"{count} sagas wait for a person." if count else "No saga waits for a person."
    )


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _database,
    _settings,
    _clocks,
    _workers,
    _work,
    _leases,
    _attention,
)
