"""What lists of executions can be narrowed down by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from rest_framework.exceptions import ValidationError

from sagas.models import STATES, SagaExecution
from sagas.models.querysets import ExecutionQuerySet

EARLIEST = dt.datetime(2, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(9998, 12, 31, tzinfo=dt.UTC)
YES_OR_NO = [("true", "true"), ("false", "false")]
OF_PAGES = frozenset({"cursor", "page_size", "ordering", "format"})


class MomentField(IsoDateTimeField):
    """A moment; one that no database holds in every time zone stands for the nearest that it does."""

    def clean(self, value: Any) -> Any:
        """The moment, in UTC: PostgreSQL knows no time zone that is more than 16 hours off."""
        moment = super().clean(value)
        if moment is None:
            return None
        try:
            return min(max(moment.astimezone(dt.UTC), EARLIEST), LATEST)
        except OverflowError:
            return EARLIEST if moment.year < EARLIEST.year else LATEST


class MomentFilter(filters.IsoDateTimeFilter):
    """By a moment of ISO 8601."""

    field_class = MomentField


class ExecutionFilters(filters.FilterSet):
    """All of them may be combined; `state` may come several times; what is not known is refused."""

    state = filters.MultipleChoiceFilter(choices=STATES)
    saga = filters.CharFilter(field_name="saga_name", max_length=64, strip=False)
    needs_attention = filters.TypedChoiceFilter(choices=YES_OR_NO, coerce=lambda word: word == "true")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    search = filters.CharFilter(method="find", max_length=255, strip=False)

    class Meta:
        model = SagaExecution
        fields: Iterable[str] = ()

    def find(self, executions: ExecutionQuerySet, _: str, wanted: str) -> ExecutionQuerySet:
        """By saga id or reference."""
        return executions.referring_to(wanted)

    def is_valid(self) -> bool:
        """Unknown names and empty values are errors: both would show everything."""
        known = set(self.filters) | OF_PAGES
        strange = {name: "There is no such filter." for name in self.data or () if name not in known}
        empty = {name: "This may not be empty." for name, value in (self.data or {}).items() if value == ""}
        if strange or empty:
            raise ValidationError({**strange, **empty})
        return super().is_valid()
