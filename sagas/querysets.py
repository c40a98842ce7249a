"""The questions that are asked of executions again and again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import models

from .clock import CLOCK
from .states import TERMINAL, UNFINISHED, SagaState
from .values import clean_text, is_id

if TYPE_CHECKING:
    from .models import SagaExecution  # noqa: F401  (named in a base class, as a string)


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

    def due(self, seconds: float = 0.0) -> ExecutionQuerySet:
        """Those that a worker might have taken for so many seconds; their rank's time has come, too."""
        return self.filter(rank_at__lte=CLOCK.now(), due_at__lte=ago(seconds))

    def of_sagas(self, names: Iterable[str]) -> ExecutionQuerySet:
        """Those of the sagas with these names."""
        return self.filter(saga_name__in=names)

    def due_in(self, within: float) -> float:
        """Seconds until the next of them is due, 0.0 if one is, at most `within`."""
        if self.due().order_by("rank_at")[:1].exists():
            return 0.0
        soon = self.filter(rank_at__lte=ago(-within), due_at__isnull=False).values("saga_name").order_by()
        nearest = soon.annotate(at=models.Min("due_at"), seen_at=CLOCK.now())
        left: list[float] = [(row["at"] - row["seen_at"]).total_seconds() for row in nearest]
        return max(0.0, min([within, *left]))

    def referring_to(self, value: Any) -> ExecutionQuerySet:
        """Those with this saga id, or one of whose references has this value, in any case of letters."""
        wanted = clean_text(str(value)).strip()
        referring = models.Q(references__value=fold(wanted))
        return self.filter(referring | models.Q(saga_id=wanted)).distinct()


def ago(seconds: float) -> Any:
    """So many seconds before now, by the database's clock, as an expression of the ORM."""
    return CLOCK.now() - dt.timedelta(seconds=seconds)


def fold(value: Any) -> str:
    """A reference as it is stored and searched: without case, at most 255 characters."""
    return clean_text(str(value)).strip().casefold()[:255]
