"""Hold executions whose saga is not registered in any running worker."""

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

from .quarantine import NEEDED, hold, unchanged

HELD_AT_ONCE = 100
FIRST = 1000  # the rows checked per priority; later rows may be overdue only because workers are busy
REASON = "No running worker has the saga {name!r}. Deploy its code, then release."
LONGEST_GAP = SagaWorker.UNSEEN / 2


def hold_unregistered() -> None:
    """Hold overdue executions if no worker has had their saga registered for some time.

    The wait is necessary because workers of another version may have the saga and be busy or restarting. A leased
    execution whose worker crashed is not held: it keeps its lease, so that the next claim records the attempt as in
    doubt. It is only marked as needing attention.
    """
    all_rows, lease = SagaExecution.objects.using(database.alias()), get_settings().LEASE
    unregistered: list[tuple[int, str]] = []
    for priority in Priority:
        overdue = all_rows.due(lease, [priority]).exclude(leased=True, needs_attention=True)
        first: Any = overdue.order_by("due_at").values_list("pk", "saga_name")[:FIRST]
        unregistered += [(pk, name) for pk, name in first if name not in all_sagas()]
    missing = _missing_for_long({name for _, name in unregistered})
    pks = [pk for pk, name in unregistered if name in missing]
    for execution in all_rows.due(lease).filter(pk__in=pks[:HELD_AT_ONCE]).only(*NEEDED) if pks else ():
        if execution.leased:
            unchanged(execution).update(needs_attention=True)
        else:
            hold(execution, REASON.format(name=execution.saga_name))


def _missing_for_long(names: set[str]) -> set[str]:
    """Return the names that no running worker has had registered for UNSEEN seconds, or for a longer lease.

    The time restarts after a gap between two checks, for example when the database was down.
    """
    registered: set[str] = set()
    if names:
        alive = SagaWorker.objects.using(database.alias()).filter(seen_at__gte=ago(SagaWorker.UNSEEN))
        registered.update(*alive.values_list("knows", flat=True))
    rows = MissingSaga.objects.using(database.alias())
    obsolete = rows.filter(Q(name__in=registered | set(all_sagas())) | Q(seen_at__lt=ago(LONGEST_GAP)))
    if obsolete.exists():
        obsolete.delete()
    missing = names - registered
    if not missing:
        return set()
    now = CLOCK.now()
    rows.bulk_create([MissingSaga(name=name, since=now, seen_at=now) for name in missing], ignore_conflicts=True)
    rows.filter(name__in=missing).update(seen_at=now)
    patience = max(get_settings().LEASE, SagaWorker.UNSEEN)
    return set(rows.filter(name__in=missing, since__lte=ago(patience)).values_list("name", flat=True))
