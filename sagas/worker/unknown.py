"""Executions of sagas that no running worker knows: after a lease's time they wait for a person, not for ever."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from sagas import database
from sagas.conf import get_settings
from sagas.models import SagaEvent, SagaExecution, SagaWorker
from sagas.querysets import ago
from sagas.registry import all_sagas
from sagas.states import Priority

AT_ONCE = 100
FIRST = 1000  # of each priority: what has not come to its turn yet is nobody's fault


def hold_what_nobody_knows() -> None:
    """Hold what has been due for a lease's time and that we do not know either.

    Workers of another version may know it, and are busy. One whose worker died stays as it is, for the lost lease
    tells whoever knows the saga that an attempt is in doubt; but a person gets to see it.
    """
    unknown = [(pk, name) for priority in Priority for pk, name in _first(priority) if name not in all_sagas()]
    if not unknown:
        return
    alive = SagaWorker.objects.using(database.alias()).filter(seen_at__gte=ago(SagaWorker.UNSEEN))
    missing = {name for _, name in unknown}.difference(*alive.values_list("knows", flat=True))
    pks = [pk for pk, name in unknown if name in missing]
    for execution in SagaExecution.objects.using(database.alias()).filter(pk__in=pks[:AT_ONCE]):
        if execution.leased:
            _mine(execution).update(needs_attention=True)
        else:
            _hold(execution)


def _first(priority: Priority) -> Any:
    """Key and saga of the first in this queue; what somebody knows is taken from it, so that others move up."""
    overdue = SagaExecution.objects.using(database.alias()).due(get_settings().LEASE, [priority])
    waiting = overdue.exclude(leased=True, needs_attention=True)
    return waiting.order_by("due_at").values_list("pk", "saga_name")[:FIRST]


def _hold(execution: SagaExecution) -> None:
    reason = f"No worker that runs knows the saga {execution.saga_name!r}. Deploy its code, then release."
    held = {"held": reason, "needs_attention": True, "due_at": None, "rank_at": None}
    with database.one_commit():
        if _mine(execution).update(version=execution.version + 1, **held):
            SagaEvent.objects.using(database.alias()).create(
                execution=execution,
                kind=SagaEvent.Kind.HELD,
                version=execution.version + 1,
                run=execution.run,
                data={"held": reason, "cause": "engine"},
            )


def _mine(execution: SagaExecution) -> QuerySet[SagaExecution]:
    rows = SagaExecution.objects.using(database.alias())
    return rows.filter(pk=execution.pk, version=execution.version, leased=execution.leased)
