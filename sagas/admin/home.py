"""The operations home page, and the list of worker processes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib import admin
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext

from sagas.definition.registry import all_sagas
from sagas.models import Operations, SagaExecution, SagaWorker
from sagas.models.clock import CLOCK
from sagas.models.querysets import ExecutionQuerySet, ago
from sagas.monitoring import stats
from sagas.presentation import labels

from . import charts
from .base import Desk, ReadOnly, executions_url
from .executions.admin import SagaExecutionAdmin
from .tiles import TILES

T = TypeVar("T")

# The counts and the charts are cached for so many seconds. Rows after the first COUNTED are not counted.
CACHED, DAY_CACHED = 5, 60
COUNTED = 1000
LIST, WORKERS = "admin:sagas_sagaexecution_changelist", "admin:sagas_sagaworker_changelist"


@dataclass(frozen=True)
class Shown:
    """A tile: its formatted number, and the URL of the list of its executions."""

    name: str
    title: Promise
    description: Promise
    number: str
    empty: bool
    link: str


@dataclass(frozen=True)
class Failure:
    """The labels of a saga and a step, how many executions failed there, and the URL of their list."""

    saga: str
    step: str
    count: int
    link: str


@admin.register(Operations)
class OperationsAdmin(Desk):
    """The home page: what needs attention, what is running, and charts of the last 24 hours."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the page. Its counts are at most 5 seconds old, its charts at most 60."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        counts, counted_at = _cached("counts", CACHED, _counts)
        day, day_at = _cached("day", DAY_CACHED, stats.of_last_day)
        return self.page(
            request,
            "admin/sagas/home.html",
            list_url=reverse(LIST),
            search_help=SagaExecutionAdmin.search_help_text,
            tiles=_tiles(counts),
            counted_at=counted_at,
            workers=_workers(),
            workers_url=reverse(WORKERS) if request.user.has_perm("sagas.view_sagaworker") else "",
            day=day,
            day_at=day_at,
            success=charts.success(day),
            durations=charts.durations(day),
            throughput=charts.throughput(day),
            failures=_failures(day),
        )


def _cached(name: str, seconds: int, find: Callable[[], T]) -> tuple[T, dt.datetime]:
    """Return the result of `find` and its time. Call `find` only if the cached result is older than `seconds`."""
    key = f"sagas.admin.home.{name}"
    cached: tuple[T, dt.datetime] | None = cache.get(key)
    if cached is None:
        cached = find(), timezone.now()
        cache.set(key, cached, seconds)
    return cached


def _counts() -> dict[str, int]:
    """Count the executions of each tile. Stop at COUNTED + 1."""
    executions: ExecutionQuerySet = SagaExecution.objects.order_by()
    return {name: tile.select(executions).values("pk")[: COUNTED + 1].count() for name, tile in TILES.items()}


def _tiles(counts: dict[str, int]) -> list[Shown]:
    """Return the tiles with their numbers and the URLs of their lists."""
    shown = []
    for name, count in counts.items():
        tile = TILES[name]
        number = f"{charts.number(COUNTED)}+" if count > COUNTED else charts.number(count)
        link = f"{reverse(LIST)}?{tile.parameters}"
        shown.append(Shown(name, tile.title, tile.description, number, not count, link))
    return shown


def _workers() -> dict[str, Any]:
    """Return the number of live workers, when the last worker was seen, and a sentence about both."""
    alive = Count("id", filter=Q(seen_at__gte=ago(SagaWorker.UNSEEN)))
    found = SagaWorker.objects.aggregate(alive=alive, seen_at=Max("seen_at"))
    if found["seen_at"] is None:
        sentence = gettext("No worker is running. Nothing continues until an administrator starts one.")
    elif not found["alive"]:
        sentence = gettext(
            "No worker is running; one was last seen %(time)s ago. Nothing continues until an administrator starts one."
        ) % {"time": timesince(found["seen_at"], CLOCK.by_host(), depth=1)}
    else:
        sentence = ngettext("%(count)d worker is running.", "%(count)d workers are running.", found["alive"]) % {
            "count": found["alive"]
        }
    return {**found, "sentence": sentence}


def _failures(day: stats.Day) -> list[Failure]:
    """Return the steps at which most executions failed in the last 24 hours."""
    states = [state.value for state in stats.FAILED]
    failures = []
    for saga, step, count in day.failures:
        link = executions_url(ended="day", failed_step=step, saga=saga, state=states)
        label = labels.step_label(step, all_sagas().get(saga))
        failures.append(Failure(labels.name_label(saga), label, count, link))
    return failures


@admin.register(SagaWorker)
class SagaWorkerAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """The list of worker processes with their last heartbeat."""

    list_display = ("name", "cluster", "running", "free", "stuck", "draining", "started_at", "seen_at")
    ordering = ("cluster", "name")
