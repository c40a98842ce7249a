"""Executions of sagas that no running worker knows: after a lease's time they wait for a person, not for ever."""

from __future__ import annotations

from django.db.models import QuerySet

from sagas import database
from sagas.conf import get_settings
from sagas.models import SagaEvent, SagaExecution, SagaWorker
from sagas.querysets import ago
from sagas.registry import all_sagas

AT_ONCE = 100


def hold_what_nobody_knows() -> None:
    """Hold what has been due for a lease's time and that we do not know either.

    Workers of another version may know it, and are busy. One whose worker died stays as it is, for the lost lease
    tells whoever knows the saga that an attempt is in doubt; but a person gets to see it.
    """
    overdue = SagaExecution.objects.using(database.alias()).due(get_settings().LEASE)
    unknown = overdue.exclude(saga_name__in=all_sagas()).exclude(leased=True, needs_attention=True)
    if not unknown.exists():
        return
    alive = SagaWorker.objects.using(database.alias()).filter(seen_at__gte=ago(SagaWorker.UNSEEN))
    known = {name for names in alive.values_list("knows", flat=True) for name in names}
    for execution in unknown.exclude(saga_name__in=known).order_by("rank_at")[:AT_ONCE]:
        if execution.leased:
            _mine(execution).update(needs_attention=True)
        else:
            _hold(execution)


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
