"""The filters of the list. Each filter uses an index, and none scans all rows to find its choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.cache import cache
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.lookups import Exact
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.admin.provider_calls import latest_stats
from sagas.admin.tiles import TILES
from sagas.admin.unfinished import stranded_without
from sagas.definition import json_values
from sagas.definition.registry import all_sagas
from sagas.definition.states import Direction, Priority
from sagas.models import STATES, SagaExecution, StepRun
from sagas.models.querysets import ExecutionQuerySet
from sagas.monitoring import stats
from sagas.presentation import labels

TEMPLATE = "admin/sagas/_filter.html"
YES = [("yes", _("Yes"))]
YES_OR_NO = [*YES, ("no", _("No"))]
PRIORITIES = {Priority.HIGH: _("High"), Priority.NORMAL: _("Normal"), Priority.LOW: _("Low")}
MOST_CHOICES, CACHED = 50, 60.0
# Up to RARE executions are found by primary key. If there are more, a scan of the failures soon finds a page of them.
RARE = 1000


class StateFilter(admin.ListFilter):
    """Filter by one or several states. Each choice adds or removes its state."""

    title, template = _("state"), TEMPLATE
    states: list[str]

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.states = params.pop("state", [])

    def has_output(self) -> bool:
        """Return True: the filter is always shown."""
        return True

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Filter by the chosen states. Raise IncorrectLookupParameters for an unknown one."""
        try:
            return queryset.in_state(*self.states) if self.states else queryset
        except ValueError as error:
            raise IncorrectLookupParameters from error

    def expected_parameters(self) -> list[str | None]:
        """Return the one parameter, which can be given several times."""
        return ["state"]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield "All" and each state, as Django's filter template needs them."""
        yield {"selected": not self.states, "query_string": _query(changelist, "state", []), "display": _("All")}
        for state, word in STATES:
            others = [chosen for chosen in self.states if chosen != state]
            chosen = state in self.states
            link = _query(changelist, "state", others if chosen else [*others, state])
            yield {"selected": chosen, "query_string": link, "display": word}


class ValueFilter(admin.SimpleListFilter, ABC):
    """Filter by one value of a parameter."""

    template = TEMPLATE

    def has_output(self) -> bool:
        """Return whether the filter is visible: it has choices or a value.

        Django ignores the values of invisible filters.
        """
        return super().has_output() or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Filter by the value, if there is one. Raise IncorrectLookupParameters if a value cannot be stored."""
        value = self.value()
        if value is None:
            return queryset
        if value != json_values.clean_text(value):
            raise IncorrectLookupParameters
        return self.having(queryset, value)

    @abstractmethod
    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions that match the value."""


class ChoiceFilter(ValueFilter):
    """Filter by one of `options`."""

    options: Iterable[tuple[str, str | Promise]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the options."""
        return self.options

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Filter by the value.

        Raises IncorrectLookupParameters for any other value, because ignoring it would show everything.
        """
        if self.value() not in (None, *(value for value, _ in self.options)):
            raise IncorrectLookupParameters
        return super().queryset(request, queryset)


class AttentionFilter(ChoiceFilter):
    """Filter by whether the execution needs attention."""

    title, parameter_name, options = _("needs attention"), "needs_attention", YES_OR_NO

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions that need attention ("yes") or do not ("no")."""
        return executions.needing_attention() if value == "yes" else executions.filter(needs_attention=False)


class NowFilter(ChoiceFilter):
    """Filter by a group that the home page counts."""

    title, parameter_name = _("activity"), "now"
    options = [(name, tile.title) for name, tile in TILES.items() if tile.parameters == f"now={name}"]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions that the home page counts."""
        return TILES[value].select(executions)


class HeldFilter(ChoiceFilter):
    """Filter by whether the execution is on hold."""

    title, parameter_name, options = _("on hold"), "held", YES

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions on hold. All of them need attention, and that column has an index."""
        return executions.needing_attention().exclude(held="")


class PriorityFilter(ChoiceFilter):
    """Filter by priority."""

    title, parameter_name = _("priority"), "priority"
    options = [(str(priority.value), word) for priority, word in PRIORITIES.items()]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions of this priority. For LOW and HIGH the query matches a partial index."""
        found = executions.filter(priority=int(value))
        return found if int(value) == Priority.NORMAL else found.exclude(priority=Priority.NORMAL)


class EndedFilter(ChoiceFilter):
    """Filter by whether the run has ended recently."""

    title, parameter_name, options = _("finished"), "ended", [("day", _("In the last 24 hours"))]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions that ended in the 24 hours that the home page counts."""
        return stats.ended_since(executions, stats.a_day_ago())


class SagaFilter(ValueFilter):
    """Filter by saga. The saga need not be registered."""

    title, parameter_name = _("kind"), "saga"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the sagas that are registered or have executions."""
        names = {*all_sagas(), *_values(SagaExecution.objects.all(), "saga_name")}
        return [(name, labels.name_label(name)) for name in sorted(names)]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions of this saga."""
        return executions.of_sagas([value])


class FailedStepFilter(ValueFilter):
    """Filter by the step that failed."""

    title, parameter_name = _("failed step"), "failed_step"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the steps that have failed."""
        names = _values(SagaExecution.objects.exclude(failed_step=""), "failed_step")
        return [(name, labels.step_label_anywhere(name, all_sagas().values())) for name in names]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions that failed at this step. The first condition matches a partial index."""
        return executions.exclude(failed_step="").filter(failed_step=value)


class ErrorFilter(ValueFilter):
    """Filter by the error type of the last attempt of the failed step."""

    title, parameter_name = _("error"), "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the error types of last attempts."""
        return [(name, name) for name in _values(_last_errors(), "error_type")]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions with a failed step that ended with this error."""
        failed = executions.exclude(failed_step="")
        final_errors = _last_errors().filter(
            execution=OuterRef("pk"), run=OuterRef("run"), step=OuterRef("failed_step"), direction=Direction.ACTION
        )
        # Count the matching errors first: the database cannot estimate the number and would choose a slow plan.
        matching = _last_errors().filter(error_type=value).values_list("execution", flat=True)
        newest = list(matching.order_by("-execution")[: RARE + 1])
        if len(newest) <= RARE:
            return failed.filter(Exists(final_errors.filter(error_type=value)), pk__in=newest)
        oldest = matching.order_by("execution")[0]
        return failed.filter(
            Exact(Subquery(final_errors.values("error_type")[:1]), value), pk__range=(oldest, newest[0])
        )


class LinkedFilter(ValueFilter, ABC):
    """A filter that other pages link to. The list shows the filter only while it has a value."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the current value as the only choice."""
        value = self.value()
        return [(value, labels.name_label(value.rpartition(".")[2]))] if value else []


class WaitingForFilter(LinkedFilter):
    """Filter by the provider that the next attempt calls."""

    title, parameter_name = _("waits for the provider"), "waits_for"

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the waiting executions that the page of providers counts for this provider."""
        provider = latest_stats().providers.get(value)
        if provider is None:
            raise IncorrectLookupParameters
        return executions.filter(pk__in=provider.waiting)


class StrandedFilter(LinkedFilter):
    """Filter by a planned step that is no longer defined."""

    title, parameter_name = _("planned with a step that is not defined any more"), "stranded"

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Return the executions that the page of definitions counts for this step."""
        return stranded_without(value, executions)


FILTERS = (
    StateFilter,
    AttentionFilter,
    NowFilter,
    SagaFilter,
    FailedStepFilter,
    ErrorFilter,
    HeldFilter,
    PriorityFilter,
    EndedFilter,
    WaitingForFilter,
    StrandedFilter,
)


def _query(changelist: ChangeList, name: str, chosen: list[str]) -> str:
    return changelist.get_query_string({name: chosen} if chosen else {}, [] if chosen else [name])


def _last_errors() -> QuerySet[StepRun]:
    """Select the errors after which no retry followed. The condition matches a partial index."""
    return StepRun.objects.filter(~Q(ending="") & ~Q(error_type=""))


def _values(rows: QuerySet[Any], column: str) -> list[str]:
    """Return up to MOST_CHOICES distinct values of an indexed column. Each value is one index lookup."""
    key = f"sagas.admin.{rows.model._meta.model_name}.{column}"
    found: list[str] | None = cache.get(key)
    if found is None:
        found = list(_next_values(rows.order_by(column).values_list(column, flat=True), column))
        cache.set(key, found, CACHED)
    return found


def _next_values(rows: QuerySet[Any, str], column: str) -> Iterator[str]:
    value = rows.first()
    for _number in range(MOST_CHOICES):
        if value is None:
            return
        yield value
        value = rows.filter(**{f"{column}__gt": value}).first()
