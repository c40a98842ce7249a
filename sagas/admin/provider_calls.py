"""Statistics of the calls of each provider, from a sample of limited size that is cached for a minute."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

from django.core.cache import cache
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import Direction, Ending, Outcome, Priority
from sagas.models import SagaExecution, StepRun, first_uuid_at
from sagas.presentation.execution_view import ExecutionView, load_views
from sagas.storage import database

DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
MOST_CALLS = 20_000
MOST_IN_FLIGHT = 100  # of each priority
CACHED_FOR = 60
KEY = "sagas.admin.calls"


class Called(NamedTuple):
    """One call of a provider, from its step run."""

    saga: str
    step: str
    direction: str
    outcome: str
    ending: str
    error_type: str
    started_at: dt.datetime
    finished_at: dt.datetime

    @property
    def seconds(self) -> float:
        """How long the call took, in seconds."""
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def kind(self) -> str:
        """ "good", "refused", "failed" or "uncertain". A verify that finds nothing is good."""
        if self.outcome == Outcome.UNCERTAIN:
            return "uncertain"
        if self.outcome != Outcome.FAILED or (self.direction == Direction.VERIFY and not self.error_type):
            return "good"
        return "refused" if self.ending == Ending.REFUSED else "failed"


@dataclass(frozen=True)
class Tally:
    """Numbers of the calls in a period. `slowest` is the step with the highest p95, and `p95` its p95 in seconds."""

    good: int = 0
    refused: int = 0
    failed: int = 0
    uncertain: int = 0
    p95: float = 0.0
    slowest: str = ""

    @property
    def calls(self) -> int:
        """The number of calls."""
        return self.good + self.refused + self.failed + self.uncertain

    @property
    def error_rate(self) -> float:
        """The percentage of failed and uncertain calls. A refusal does not count as an error."""
        return 100 * (self.failed + self.uncertain) / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class ProviderStats:
    """The calls of one provider.

    `error_type` is the class name of the last error; its message is not shown, because it may be personal. `waiting`
    has the primary keys of the executions that call this provider next.
    """

    day: Tally
    hour: Tally
    last_success: dt.datetime | None = None
    last_error: dt.datetime | None = None
    error_type: str = ""
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stats:
    """The statistics of all providers at the time `at`.

    `cut` means that the sample does not cover a whole day; it starts at `since`. `more_waiting` means that only some of
    the waiting executions are counted.
    """

    at: dt.datetime
    since: dt.datetime
    cut: bool
    more_waiting: bool
    providers: Mapping[str, ProviderStats]


def provider_of(saga: Saga, step: SagaStep) -> str:
    """Return the name of the provider that the step calls: "saga.step", or "" if the step is transactional."""
    return "" if step.transactional else f"{saga.name}.{step.name}"


def steps_by_provider() -> dict[str, list[tuple[Saga, SagaStep]]]:
    """Return the registered steps of each provider, sorted by the name of the provider.

    Transactional steps have no provider and are left out.
    """
    found: dict[str, list[tuple[Saga, SagaStep]]] = defaultdict(list)
    for _, saga in sorted(all_sagas().items()):
        for step in saga:
            found[provider_of(saga, step)].append((saga, step))
    found.pop("", None)
    return dict(sorted(found.items()))


def latest_stats() -> Stats:
    """Return the statistics of all providers. They are cached for CACHED_FOR seconds."""
    return cast("Stats", cache.get_or_set(KEY, _read, CACHED_FOR))


def _read() -> Stats:
    now = timezone.now()
    calls = _calls(now - DAY)
    views, more_waiting = _in_flight()
    waiting: dict[str, list[int]] = defaultdict(list)  # key: the provider that the next attempt calls
    for view in views:
        if view.saga and view.next_attempt:
            waiting[provider_of(view.saga, view.next_attempt.step)].append(view.execution.pk)
    by_provider: dict[str, list[Called]] = defaultdict(list)
    for call in calls:
        saga = all_sagas().get(call.saga)
        step = saga.step(call.step) if saga else None
        if saga and step:
            by_provider[provider_of(saga, step)].append(call)
    cut = len(calls) == MOST_CALLS
    since = calls[-1].finished_at if cut else now - DAY
    providers = {name: _provider_stats(by_provider[name], now, waiting[name]) for name in steps_by_provider()}
    return Stats(now, since, cut, more_waiting, providers)


def _calls(since: dt.datetime) -> list[Called]:
    """Read the calls since then, newest first, at most MOST_CALLS."""
    runs = StepRun.objects.using(database.alias()).filter(pk__gte=first_uuid_at(since))
    # A join could read all executions; a subquery reads one at a time, by primary key.
    saga = SagaExecution.objects.filter(pk=OuterRef("execution_id")).values("saga_name")
    made = runs.exclude(direction=Direction.RESOLVED.value).order_by("-pk").annotate(saga=Subquery(saga))
    columns = ("saga", "step", "direction", "outcome", "ending", "error_type", "started_at", "finished_at")
    return [Called(*row) for row in made.values_list(*columns)[:MOST_CALLS]]


def _in_flight() -> tuple[list[ExecutionView], bool]:
    """Load the executions that are due first, and whether there are more."""
    rows = SagaExecution.objects.using(database.alias())
    keys: list[int] = []
    more = False
    for priority in Priority:
        due = rows.filter(priority=priority.value, due_at__isnull=False).order_by("due_at").values_list("pk", flat=True)
        found = list(due[: MOST_IN_FLIGHT + 1])
        more = more or len(found) > MOST_IN_FLIGHT
        keys += found[:MOST_IN_FLIGHT]
    return load_views(rows.defer("input", "context", "steps_completed"), keys), more


def _provider_stats(calls: list[Called], now: dt.datetime, waiting: list[int]) -> ProviderStats:
    success = next((call for call in calls if call.outcome == Outcome.SUCCEEDED), None)
    error = next((call for call in calls if call.kind in ("failed", "uncertain")), None)
    return ProviderStats(
        day=_tally(calls),
        hour=_tally([call for call in calls if call.finished_at >= now - HOUR]),
        last_success=success.finished_at if success else None,
        last_error=error.finished_at if error else None,
        error_type=error.error_type if error else "",
        waiting=tuple(waiting),
    )


def _tally(calls: list[Called]) -> Tally:
    kinds = Counter(call.kind for call in calls)
    took: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        took[call.step].append(call.seconds)
    # The 95th percentile, by the nearest-rank method.
    p95s = ((sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)], step) for step, times in took.items())
    p95, slowest = max(p95s, default=(0.0, ""))
    return Tally(kinds["good"], kinds["refused"], kinds["failed"], kinds["uncertain"], p95, slowest)
