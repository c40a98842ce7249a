"""What the list can be narrowed down to by those who come from a desk: the very rows that are counted there."""

from __future__ import annotations

from abc import ABC
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sagas.admin.provider_calls import numbers
from sagas.admin.unfinished import stranded_without
from sagas.models.querysets import ExecutionQuerySet
from sagas.presentation import labels

from .filters import OneOf


class LedTo(OneOf, ABC):
    """It is not offered, but shown to who is led to it, and can be left."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The value itself, once there is one."""
        value = self.value()
        return [(value, labels.name_label(value.rpartition(".")[2]))] if value else []


class WaitingForFilter(LedTo):
    """By the provider that is called next."""

    title, parameter_name = _("waits for the provider"), "waits_for"

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Those that the desk of the providers has counted within the last minute."""
        standing = numbers().providers.get(value)
        if standing is None:
            raise IncorrectLookupParameters
        return executions.filter(pk__in=standing.waiting)


class StrandedFilter(LedTo):
    """By the step that they were planned with and that today's code lacks."""

    title, parameter_name = _("planned with a step that is not defined any more"), "stranded"

    def having(self, executions: ExecutionQuerySet, value: str) -> ExecutionQuerySet:
        """Those that the desk of the definitions counts."""
        return stranded_without(value, executions)


DESK_FILTERS = (WaitingForFilter, StrandedFilter)
