"""Queries of executions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models

from sagas.definition.json_values import clean_text, is_id
from sagas.definition.states import TERMINAL, UNFINISHED, Priority, SagaState

from .clock import CLOCK

if TYPE_CHECKING:
    from . import SagaExecution  # noqa: F401  (named in a base class, as a string)


class ExecutionQuerySet(models.QuerySet["SagaExecution"]):
    """A queryset of executions with filters by state, due time and reference."""

    def with_id(self, saga_id: str) -> ExecutionQuerySet:
        """Filter by id. Invalid ids are not sent to the database, which may not accept their characters."""
        return self.filter(saga_id=saga_id) if is_id(saga_id) else self.none()

    def in_state(self, *states: SagaState | str) -> ExecutionQuerySet:
        """Filter by states, members or their values; ValueError if one is not a state."""
        return self.filter(state__in=[SagaState(state) for state in states])

    def finished(self) -> ExecutionQuerySet:
        """Filter those in a terminal state."""
        return self.filter(state__in=TERMINAL)

    def unfinished(self) -> ExecutionQuerySet:
        """Filter those that are not in a terminal state."""
        return self.filter(state__in=UNFINISHED)

    def needing_attention(self) -> ExecutionQuerySet:
        """Filter those that need attention."""
        return self.filter(needs_attention=True)

    def due(self, seconds: float = 0.0, priorities: Iterable[Priority] = Priority) -> ExecutionQuerySet:
        """Filter those that have been due for at least `seconds`."""
        # Even for all priorities: the priority is the first column of the index.
        return self.filter(priority__in=[priority.value for priority in priorities], due_at__lte=ago(seconds))

    def of_sagas(self, names: Iterable[str]) -> ExecutionQuerySet:
        """Filter those of the named sagas."""
        return self.filter(saga_name__in=names)

    def leased_rows(self) -> ExecutionQuerySet:
        """Filter those that a worker holds, or held when it crashed."""
        return self.filter(leased__in=[True])  # as the partial index is written

    def are_overdue(self, seconds: float) -> bool:
        """Return whether any has been due for at least `seconds`."""
        # Keep the order of the index, which exists() would drop: otherwise a database may scan all rows.
        return any(self.due(seconds, [priority]).order_by("due_at").values("pk")[:1] for priority in Priority)

    def referring_to(self, value: Any) -> ExecutionQuerySet:
        """Filter those with this saga id or reference, ignoring case.

        An id of mixed case is found only as it was given.
        """
        wanted = clean_text(str(value)).strip()
        spellings = {wanted, wanted.lower(), wanted.upper()}
        # A union uses two indexes; with OR a database scans all rows.
        named = self.model.objects.filter(saga_id__in=spellings).order_by().values("pk")
        references = apps.get_model("sagas", "SagaReference").objects
        referring = references.filter(value=normalize_reference(wanted)).values("execution_id")
        return self.filter(pk__in=named.union(referring))


def ago(seconds: float) -> Any:
    """Return the time `seconds` before now, by the database's clock, as an ORM expression."""
    return CLOCK.now() - dt.timedelta(seconds=seconds)


def normalize_reference(value: Any) -> str:
    """Normalize a reference for storing and searching: without case, at most 255 characters."""
    return clean_text(str(value)).strip().casefold()[:255]
