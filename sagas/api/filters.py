"""Filters for lists of executions."""

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


class DateTimeField(IsoDateTimeField):
    """An ISO 8601 time. A time outside the range that all databases can store is replaced by the nearest limit."""

    def clean(self, value: Any) -> Any:
        """Return the time in UTC, because PostgreSQL rejects offsets of more than 16 hours."""
        time = super().clean(value)
        if time is None:
            return None
        try:
            return min(max(time.astimezone(dt.UTC), EARLIEST), LATEST)
        except OverflowError:
            return EARLIEST if time.year < EARLIEST.year else LATEST


class DateTimeFilter(filters.IsoDateTimeFilter):
    """A filter by an ISO 8601 time."""

    field_class = DateTimeField


class ExecutionFilters(filters.FilterSet):
    """Filters that can be combined. `state` may be repeated; unknown filters are rejected."""

    state = filters.MultipleChoiceFilter(choices=STATES)
    saga = filters.CharFilter(field_name="saga_name", max_length=64, strip=False)
    needs_attention = filters.TypedChoiceFilter(choices=YES_OR_NO, coerce=lambda value: value == "true")
    created_after = DateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created_at", lookup_expr="lt")
    search = filters.CharFilter(method="find", max_length=255, strip=False)

    class Meta:
        model = SagaExecution
        fields: Iterable[str] = ()

    def find(self, executions: ExecutionQuerySet, _: str, value: str) -> ExecutionQuerySet:
        """Filter by saga id or reference."""
        return executions.referring_to(value)

    def is_valid(self) -> bool:
        """Raise ValidationError for unknown names and empty values. The base class would ignore them."""
        known = set(self.filters) | OF_PAGES
        unknown = {name: "Unknown filter." for name in self.data or () if name not in known}
        empty = {name: "This field may not be blank." for name, value in (self.data or {}).items() if value == ""}
        if unknown or empty:
            raise ValidationError({**unknown, **empty})
        return super().is_valid()
