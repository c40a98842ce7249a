"""What the list can be narrowed down by; each filter has an index, and none asks all rows for its choices."""

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

from sagas.admin.tiles import TILES
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
MOST_CHOICES, REMEMBERED = 50, 60.0
# So many errors are looked up one by one; of more, some come soon where failures are gone through in order.
RARE = 1000


class StateFilter(admin.ListFilter):
    """By one state or several: each choice adds its state or takes it away."""

    title, template = _("state"), TEMPLATE
    states: list[str]

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.states = params.pop("state", [])

    def has_output(self) -> bool:
        """Always."""
        return True

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Those in one of the states."""
        try:
            return queryset.in_state(*self.states) if self.states else queryset
        except ValueError as error:
            raise IncorrectLookupParameters from error

    def expected_parameters(self) -> list[str | None]:
        """One, which may come several times."""
        return ["state"]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """All, and each state."""
        yield {"selected": not self.states, "query_string": _query(changelist, "state", []), "display": _("All")}
        for state, word in STATES:
            others = [chosen for chosen in self.states if chosen != state]
            chosen = state in self.states
            link = _query(changelist, "state", others if chosen else [*others, state])
            yield {"selected": chosen, "query_string": link, "display": word}


class OneOf(admin.SimpleListFilter, ABC):
    """By one of a few values."""

    template = TEMPLATE

    def has_output(self) -> bool:
        """Also without a choice, once one has been made: what is not put out is not asked for either."""
        return super().has_output() or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Those with the value, if there is one."""
        value = self.value()
        if value is None:
            return queryset
        if value != json_values.clean_text(value):
            raise IncorrectLookupParameters
        return self.having(queryset, value)

    @abstractmethod
    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Those with the value."""


class OneOfFew(OneOf):
    """By one of the values that are `known`."""

    known: Iterable[tuple[str, str | Promise]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The known ones."""
        return self.known

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """What is not known would show everything."""
        if self.value() not in (None, *(value for value, _ in self.known)):
            raise IncorrectLookupParameters
        return super().queryset(request, queryset)


class AttentionFilter(OneOfFew):
    """By whether a person has to look at it."""

    title, parameter_name, known = _("needs attention"), "needs_attention", YES_OR_NO

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """The dead letters, or all others."""
        return executions.needing_attention() if value == "yes" else executions.filter(needs_attention=False)


class NowFilter(OneOfFew):
    """By what is going on, as the home page counts it."""

    title, parameter_name = _("what goes on"), "now"
    known = [(name, tile.title) for name, tile in TILES.items() if tile.parameters == f"now={name}"]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """As the home page counts it."""
        return TILES[value].of(executions)


class HeldFilter(OneOfFew):
    """By whether it waits until a person releases it."""

    title, parameter_name, known = _("held"), "held", YES

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Whatever is held needs attention, and that has an index."""
        return executions.needing_attention().exclude(held="")


class PriorityFilter(OneOfFew):
    """By priority."""

    title, parameter_name = _("priority"), "priority"
    known = [(str(priority.value), word) for priority, word in PRIORITIES.items()]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """In the words of the index, which has all that are not NORMAL."""
        found = executions.filter(priority=int(value))
        return found if int(value) == Priority.NORMAL else found.exclude(priority=Priority.NORMAL)


class EndedFilter(OneOfFew):
    """By whether it has ended lately."""

    title, parameter_name, known = _("ended"), "ended", [("day", _("In the last 24 hours"))]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Of the same day as the numbers of the home page."""
        return stats.ended_since(executions, stats.a_day_ago())


class SagaFilter(OneOf):
    """By saga, also by one that is not registered here any more."""

    title, parameter_name = _("kind"), "saga"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Those that are registered, and those that have executions."""
        names = {*all_sagas(), *_values(SagaExecution.objects.all(), "saga_name")}
        return [(name, labels.name_label(name)) for name in sorted(names)]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Those of the saga."""
        return executions.of_sagas([value])


class FailedStepFilter(OneOf):
    """By the step whose failure has ended the run."""

    title, parameter_name = _("failed step"), "failed_step"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Those that have failed."""
        names = _values(SagaExecution.objects.exclude(failed_step=""), "failed_step")
        return [(name, labels.step_label_anywhere(name, all_sagas().values())) for name in names]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """In the words of the index."""
        return executions.exclude(failed_step="").filter(failed_step=value)


class ErrorFilter(OneOf):
    """By the error with which the attempt ended that failed the run."""

    title, parameter_name = _("error"), "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Those after which a step was not tried again."""
        return [(name, name) for name in _values(_last_errors(), "error_type")]

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Those whose failed step was not tried again after such an error."""
        failed = executions.exclude(failed_step="")
        of_it = _last_errors().filter(
            execution=OuterRef("pk"), run=OuterRef("run"), step=OuterRef("failed_step"), direction=Direction.ACTION
        )
        # A database cannot know how many of the runs that ended in an error ended in this one, and chooses badly.
        such = _last_errors().filter(error_type=value).values_list("execution", flat=True)
        newest = list(such.order_by("-execution")[: RARE + 1])
        if len(newest) <= RARE:
            return failed.filter(Exists(of_it.filter(error_type=value)), pk__in=newest)
        oldest = such.order_by("execution")[0]
        return failed.filter(Exact(Subquery(of_it.values("error_type")[:1]), value), pk__range=(oldest, newest[0]))


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
)


def _query(changelist: ChangeList, name: str, chosen: list[str]) -> str:
    return changelist.get_query_string({name: chosen} if chosen else {}, [] if chosen else [name])


def _last_errors() -> QuerySet[StepRun]:
    """In the words of their index."""
    return StepRun.objects.filter(~Q(ending="") & ~Q(error_type=""))


def _values(rows: QuerySet[Any], column: str) -> list[str]:
    """The different values of a column that an index begins with, up to MOST_CHOICES: a look at the index for each."""
    key = f"sagas.admin.{rows.model._meta.model_name}.{column}"
    found: list[str] | None = cache.get(key)
    if found is None:
        found = list(_next_values(rows.order_by(column).values_list(column, flat=True), column))
        cache.set(key, found, REMEMBERED)
    return found


def _next_values(rows: QuerySet[Any, str], column: str) -> Iterator[str]:
    value = rows.first()
    for _number in range(MOST_CHOICES):
        if value is None:
            return
        yield value
        value = rows.filter(**{f"{column}__gt": value}).first()
