"""Count the unfinished executions of each saga, and those that the current code cannot run. Examine at most MOST."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from sagas.definition.states import UNFINISHED
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.monitoring.health import InFlight, in_flight
from sagas.storage import database

from .base import executions_url

MOST = 10_000


@dataclass(frozen=True)
class Stranded:
    """How many executions have this planned step, which is no longer defined, and the URL of their list."""

    step: str
    count: int
    url: str


@dataclass(frozen=True)
class Unfinished:
    """The unfinished executions of one saga.

    `unregistered_since` is the time since which no running worker has registered the saga, None if one has.
    """

    name: str
    count: int
    url: str
    stranded: list[Stranded]
    unregistered_since: dt.datetime | None


def sampled() -> list[InFlight]:
    """Return the first MOST unfinished executions, counted by saga and plan. Makes one query."""
    return in_flight(SagaExecution.objects.using(database.alias()).filter(pk__in=_first()))


def unfinished_of(name: str, found: Sequence[InFlight], unregistered_since: dt.datetime | None) -> Unfinished:
    """Return the unfinished executions of the saga `name`.

    `found` is the result of `sampled`. `unregistered_since` is copied to the result.
    """
    mine = [each for each in found if each.saga_name == name]
    counts: Counter[str] = Counter()
    for each in mine:
        counts[each.missing_step] += each.count
    url = executions_url(saga=name, state=sorted(UNFINISHED))
    stranded = [
        Stranded(step, n, executions_url(saga=name, stranded=step)) for step, n in sorted(counts.items()) if step
    ]
    return Unfinished(name, counts.total(), url, stranded, unregistered_since)


def stranded_without(step: str, executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Filter the executions whose first planned step without a definition is `step`.

    Only the first MOST unfinished executions are examined, as in `sampled`.
    """
    stranded = Q(pk__in=[])
    for each in sampled():
        if each.missing_step == step:
            stranded |= Q(saga_name=each.saga_name, plan_as_text=each.plan)
    return executions.alias(plan_as_text=Cast("plan", TextField())).filter(stranded, pk__in=_first())


def _first() -> QuerySet[Any, Any]:
    """Select the first MOST unfinished executions. Without an order, the query needs only the index on the state."""
    return SagaExecution.objects.using(database.alias()).unfinished().order_by().values("pk")[:MOST]
