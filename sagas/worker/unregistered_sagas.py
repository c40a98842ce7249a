"""Executions of sagas that no running worker knows: in the end they wait for a person, not for ever."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from sagas.conf import get_settings
from sagas.definition.registry import all_sagas
from sagas.definition.states import Priority
from sagas.models import MissingSaga, SagaExecution, SagaWorker
from sagas.models.clock import CLOCK
from sagas.models.querysets import ago
from sagas.storage import database

from .quarantine import NEEDED, as_read, hold

AT_ONCE = 100
FIRST = 1000  # of each priority: what has not come to its turn yet is nobody's fault
REASON = "No worker that runs knows the saga {name!r}. Deploy its code, then release."
BLIND = SagaWorker.UNSEEN / 2


def hold_what_nobody_knows() -> None:
    """Hold what has been due for a lease's time, if for a good while no worker has known it.

    Workers of another version may know it, and be busy or just being started again. One whose worker died stays as
    it is, for the lost lease tells whoever knows the saga that an attempt is in doubt; but a person gets to see it.
    """
    unknown = [(pk, name) for priority in Priority for pk, name in _first(priority) if name not in all_sagas()]
    missing = _missing_for_long({name for _, name in unknown})
    pks = [pk for pk, name in unknown if name in missing]
    rows = SagaExecution.objects.using(database.alias()).due(get_settings().LEASE)
    for execution in rows.filter(pk__in=pks[:AT_ONCE]).only(*NEEDED) if pks else ():
        if execution.leased:
            as_read(execution).update(needs_attention=True)
        else:
            hold(execution, REASON.format(name=execution.saga_name))


def _first(priority: Priority) -> Any:
    """Key and saga of the first in this queue; what somebody knows is taken from it, so that others move up."""
    overdue = SagaExecution.objects.using(database.alias()).due(get_settings().LEASE, [priority])
    waiting = overdue.exclude(leased=True, needs_attention=True)
    return waiting.order_by("due_at").values_list("pk", "saga_name")[:FIRST]


def _missing_for_long(names: set[str]) -> set[str]:
    """Those that no worker has known at any look for as long as it takes to be sure of it.

    Looks that fail, as while the database is down, tell nothing of that time: after them it counts from anew.
    """
    known = _known_to_the_living() if names else set()
    rows = MissingSaga.objects.using(database.alias())
    over = rows.filter(Q(name__in=known | set(all_sagas())) | Q(seen_at__lt=ago(BLIND)))
    if over.exists():
        over.delete()
    missing = names - known
    if not missing:
        return set()
    now = CLOCK.now()
    rows.bulk_create([MissingSaga(name=name, since=now, seen_at=now) for name in missing], ignore_conflicts=True)
    rows.filter(name__in=missing).update(seen_at=now)
    patience = max(get_settings().LEASE, SagaWorker.UNSEEN)
    return set(rows.filter(name__in=missing, since__lte=ago(patience)).values_list("name", flat=True))


def _known_to_the_living() -> set[str]:
    alive = SagaWorker.objects.using(database.alias()).filter(seen_at__gte=ago(SagaWorker.UNSEEN))
    return {name for names in alive.values_list("knows", flat=True) for name in names}
