"""The queryset of executions, and helpers for its queries."""

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
        """Filter by id. Do not send an invalid id to the database, because it may reject the characters."""
        return self.filter(saga_id=saga_id) if is_id(saga_id) else self.none()

    def in_state(self, *states: SagaState | str) -> ExecutionQuerySet:
        """Filter by states, given as members or values. Raise ValueError for an unknown state."""
        return self.filter(state__in=[SagaState(state) for state in states])

    def finished(self) -> ExecutionQuerySet:
        """Filter executions in a terminal state."""
        return self.filter(state__in=TERMINAL)

    def unfinished(self) -> ExecutionQuerySet:
        """Filter executions that are not in a terminal state."""
        return self.filter(state__in=UNFINISHED)

    def needing_attention(self) -> ExecutionQuerySet:
        """Filter executions that need attention."""
        return self.filter(needs_attention=True)

    def due(self, seconds: float = 0.0, priorities: Iterable[Priority] = Priority) -> ExecutionQuerySet:
        """Filter executions that have been due for at least `seconds`."""
        # Name the priorities even if all are wanted, because the priority is the first column of the index.
        return self.filter(priority__in=[priority.value for priority in priorities], due_at__lte=ago(seconds))

    def of_sagas(self, names: Iterable[str]) -> ExecutionQuerySet:
        """Filter executions of the named sagas."""
        return self.filter(saga_name__in=names)

    def leased_rows(self) -> ExecutionQuerySet:
        """Filter executions that a worker has leased, also if the worker has crashed."""
        return self.filter(leased__in=[True])  # the same SQL as in the partial index

    def are_overdue(self, seconds: float) -> bool:
        """Return whether any execution has been due for at least `seconds`."""
        # Do not use exists(): it drops the ORDER BY, and then a database may scan all rows instead of the index.
        return any(self.due(seconds, [priority]).order_by("due_at").values("pk")[:1] for priority in Priority)

    def referring_to(self, value: Any) -> ExecutionQuerySet:
        """Filter executions with this saga id or reference. Ignore case.

        Exception: an id that mixes upper and lower case is found only in exactly this spelling.
        """
        wanted = clean_text(str(value)).strip()
        spellings = {wanted, wanted.lower(), wanted.upper()}
        # A union uses two indexes; with OR a database scans all rows.
        named = self.model.objects.filter(saga_id__in=spellings).order_by().values("pk")
        references = apps.get_model("sagas", "SagaReference").objects
        referring = references.filter(value=normalize_reference(wanted)).values("execution_id")
        return self.filter(pk__in=named.union(referring))


def ago(seconds: float) -> Any:
    """Return an ORM expression for the time `seconds` ago, by the clock of the database."""
    return CLOCK.now() - dt.timedelta(seconds=seconds)


def normalize_reference(value: Any) -> str:
    """Normalize a reference for storing and searching: remove differences of case, and cut it to 255 characters."""
    return clean_text(str(value)).strip().casefold()[:255]
