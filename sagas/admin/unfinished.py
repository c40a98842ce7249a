"""What is under way of each saga, and whether today's code can go on with it; of very many a part is looked at."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.http import urlencode

from sagas.definition.states import UNFINISHED
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.monitoring.health import InFlight, in_flight
from sagas.storage import database

MOST = 10_000


@dataclass(frozen=True)
class Stranded:
    """How many executions were planned with a step that today's code lacks, and the address of their list."""

    step: str
    count: int
    url: str


@dataclass(frozen=True)
class Unfinished:
    """A saga's unfinished executions, with their list, and since when no running worker has known it."""

    name: str
    count: int
    url: str
    stranded: list[Stranded]
    unknown_since: dt.datetime | None


def looked_at() -> list[InFlight]:
    """The unfinished executions that are looked at, by saga and plan."""
    return in_flight(SagaExecution.objects.using(database.alias()).filter(pk__in=_first()))


def unfinished_of(name: str, found: Sequence[InFlight], unknown_since: dt.datetime | None) -> Unfinished:
    """Those of one saga."""
    mine = [each for each in found if each.saga_name == name]
    counts: Counter[str] = Counter()
    for each in mine:
        counts[each.gone] += each.count
    url = _list(saga=name, state=sorted(UNFINISHED))
    stranded = [Stranded(step, n, _list(saga=name, stranded=step)) for step, n in sorted(counts.items()) if step]
    return Unfinished(name, counts.total(), url, stranded, unknown_since)


def stranded_without(step: str, executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """Those of the ones that are looked at whose first planned step that today's code lacks is this one."""
    such = Q(pk__in=[])
    for each in looked_at():
        if each.gone == step:
            such |= Q(saga_name=each.saga_name, plan_as_text=each.plan)
    return executions.alias(plan_as_text=Cast("plan", TextField())).filter(such, pk__in=_first())


def _first() -> QuerySet[Any, Any]:
    """The first MOST that are found, by the index of states."""
    return SagaExecution.objects.using(database.alias()).unfinished().order_by().values("pk")[:MOST]


def _list(**asked: Any) -> str:
    return f"{reverse('admin:sagas_sagaexecution_changelist')}?{urlencode(asked, doseq=True)}"
