"""The questions that are asked of executions again and again."""

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
    """Executions, by what people want to know of them."""

    def with_id(self, saga_id: str) -> ExecutionQuerySet:
        """The one of this id, or none; what can be no id is not asked for, for not every database bears it."""
        return self.filter(saga_id=saga_id) if is_id(saga_id) else self.none()

    def in_state(self, *states: SagaState | str) -> ExecutionQuerySet:
        """Those in one of the states, members or their values; a word that is no state is a ValueError."""
        return self.filter(state__in=[SagaState(state) for state in states])

    def finished(self) -> ExecutionQuerySet:
        """Those in a terminal state."""
        return self.filter(state__in=TERMINAL)

    def unfinished(self) -> ExecutionQuerySet:
        """Those that still have something to do, or a person to wait for."""
        return self.filter(state__in=UNFINISHED)

    def needing_attention(self) -> ExecutionQuerySet:
        """The dead letters: those that a person should look at."""
        return self.filter(needs_attention=True)

    def due(self, seconds: float = 0.0, priorities: Iterable[Priority] = Priority) -> ExecutionQuerySet:
        """Those that a worker might have taken for so many seconds."""
        # Also where all will do: the priority is the first column of their index.
        return self.filter(priority__in=[priority.value for priority in priorities], due_at__lte=ago(seconds))

    def of_sagas(self, names: Iterable[str]) -> ExecutionQuerySet:
        """Those of the sagas with these names."""
        return self.filter(saga_name__in=names)

    def leased_rows(self) -> ExecutionQuerySet:
        """Those that a worker has, or had when it died."""
        return self.filter(leased__in=[True])  # in the words of their index

    def are_overdue(self, seconds: float) -> bool:
        """Whether a worker might have taken any of them for so many seconds."""
        # In the order of their index, which exists() would drop: then a database may look through all rows for one.
        return any(self.due(seconds, [priority]).order_by("due_at").values("pk")[:1] for priority in Priority)

    def referring_to(self, value: Any) -> ExecutionQuerySet:
        """Those with this saga id, or one of whose references has this value, in any case of letters.

        Ids are stored as they are given: one that mixes cases is found in these alone.
        """
        wanted = clean_text(str(value)).strip()
        spellings = {wanted, wanted.lower(), wanted.upper()}
        # By two indexes: with OR a database looks through all rows.
        named = self.model.objects.filter(saga_id__in=spellings).order_by().values("pk")
        references = apps.get_model("sagas", "SagaReference").objects
        referring = references.filter(value=fold(wanted)).values("execution_id")
        return self.filter(pk__in=named.union(referring))


def ago(seconds: float) -> Any:
    """So many seconds before now, by the database's clock, as an expression of the ORM."""
    return CLOCK.now() - dt.timedelta(seconds=seconds)


def fold(value: Any) -> str:
    """A reference as it is stored and searched: without case, at most 255 characters."""
    return clean_text(str(value)).strip().casefold()[:255]
