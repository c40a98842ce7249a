"""How calls of each provider have gone lately, and what waits for it now; looked at once a minute, a bounded part."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

from django.core.cache import cache
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import Direction, Ending, Outcome, Priority
from sagas.engine import planner
from sagas.models import SagaExecution, StepRun, first_uuid_at
from sagas.presentation.execution_view import ExecutionView, load_views
from sagas.storage import database

DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
MOST_CALLS = 20_000
MOST_IN_FLIGHT = 100  # of each priority
KEPT_FOR = 60
KEY = "sagas.admin.calls"


class Called(NamedTuple):
    """A call of a provider, as its step run tells it."""

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
        """How long it took."""
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def kind(self) -> str:
        """How it went: good, refused, failed or uncertain. That a verify finds nothing is an answer like another."""
        if self.outcome == Outcome.UNCERTAIN:
            return "uncertain"
        if self.outcome != Outcome.FAILED or (self.direction == Direction.VERIFY and not self.error_type):
            return "good"
        return "refused" if self.ending == Ending.REFUSED else "failed"


@dataclass(frozen=True)
class Tally:
    """Calls in a span of time. `slowest` is the step whose 95th percentile, `p95` in seconds, is the highest."""

    good: int = 0
    refused: int = 0
    failed: int = 0
    uncertain: int = 0
    p95: float = 0.0
    slowest: str = ""

    @property
    def calls(self) -> int:
        """All of them."""
        return self.good + self.refused + self.failed + self.uncertain

    @property
    def error_rate(self) -> float:
        """Per cent of the calls that brought no answer, or a useless one; a refusal is an answer."""
        return 100 * (self.failed + self.uncertain) / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class Standing:
    """How a provider has done; its last error by its type, for a message could be personal.

    `waiting` are the primary keys of the executions that call it next.
    """

    day: Tally
    hour: Tally
    last_success: dt.datetime | None = None
    last_error: dt.datetime | None = None
    error_type: str = ""
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True)
class Numbers:
    """All providers at a moment. `since` is where the look at the calls began: `cut` when that is not a day ago."""

    at: dt.datetime
    since: dt.datetime
    cut: bool
    more_waiting: bool
    providers: Mapping[str, Standing]


def provider_of(saga: Saga, step: SagaStep) -> str:
    """Name what the step calls, by saga and step; "" for work in our own database."""
    return "" if step.transactional else f"{saga.name}.{step.name}"


def steps_by_provider() -> dict[str, list[tuple[Saga, SagaStep]]]:
    """Each provider with the registered steps that call it, by name."""
    found: dict[str, list[tuple[Saga, SagaStep]]] = defaultdict(list)
    for _, saga in sorted(all_sagas().items()):
        for step in saga:
            found[provider_of(saga, step)].append((saga, step))
    found.pop("", None)
    return dict(sorted(found.items()))


def numbers() -> Numbers:
    """The numbers of now, or those of less than a minute ago."""
    return cast("Numbers", cache.get_or_set(KEY, _look, KEPT_FOR))


def _look() -> Numbers:
    now = timezone.now()
    calls = _calls(now - DAY)
    looked, more_waiting = _in_flight()
    waiting = _waiting(looked)
    by_provider: dict[str, list[Called]] = defaultdict(list)
    for call in calls:
        saga = all_sagas().get(call.saga)
        step = saga.step(call.step) if saga else None
        if saga and step:
            by_provider[provider_of(saga, step)].append(call)
    cut = len(calls) == MOST_CALLS
    since = calls[-1].finished_at if cut else now - DAY
    providers = {name: _standing(by_provider[name], now, waiting[name]) for name in steps_by_provider()}
    return Numbers(now, since, cut, more_waiting, providers)


def _calls(since: dt.datetime) -> list[Called]:
    """The last calls since then, newest first: a range of the primary key, from its end."""
    runs = StepRun.objects.using(database.alias()).filter(pk__gte=first_uuid_at(since))
    # A join could make a database read all executions; this asks for one after the other, by primary key.
    saga = SagaExecution.objects.filter(pk=OuterRef("execution_id")).values("saga_name")
    made = runs.exclude(direction=Direction.RESOLVED.value).order_by("-pk").annotate(saga=Subquery(saga))
    columns = ("saga", "step", "direction", "outcome", "ending", "error_type", "started_at", "finished_at")
    return [Called(*row) for row in made.values_list(*columns)[:MOST_CALLS]]


def _in_flight() -> tuple[list[ExecutionView], bool]:
    """The first of the executions that are in hand or due, now or at a set time; and whether there are more."""
    rows = SagaExecution.objects.using(database.alias())
    keys: list[int] = []
    more = False
    for priority in Priority:
        due = rows.filter(priority=priority.value, due_at__isnull=False).order_by("due_at").values_list("pk", flat=True)
        found = list(due[: MOST_IN_FLIGHT + 1])
        more = more or len(found) > MOST_IN_FLIGHT
        keys += found[:MOST_IN_FLIGHT]
    return load_views(rows.defer("input", "context", "steps_completed"), keys), more


def _waiting(looked: Iterable[ExecutionView]) -> dict[str, list[int]]:
    """Those of them that call each provider next."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for one in looked:
        attempt = planner.in_flight(one.saga, one.history) if one.saga else None
        if one.saga and attempt:
            waiting[provider_of(one.saga, attempt.step)].append(one.execution.pk)
    return waiting


def _standing(calls: list[Called], now: dt.datetime, waiting: list[int]) -> Standing:
    success = next((call for call in calls if call.outcome == Outcome.SUCCEEDED), None)
    error = next((call for call in calls if call.kind in ("failed", "uncertain")), None)
    return Standing(
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
    p95, slowest = max(((_p95(seconds), step) for step, seconds in took.items()), default=(0.0, ""))
    return Tally(kinds["good"], kinds["refused"], kinds["failed"], kinds["uncertain"], p95, slowest)


def _p95(seconds: list[float]) -> float:
    """By nearest rank."""
    return sorted(seconds)[max(0, -(-len(seconds) * 95 // 100) - 1)]
