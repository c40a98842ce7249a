"""The questions that are asked of executions again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

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

    def referring_to(self, value: Any) -> ExecutionQuerySet:
        """Those with this saga id, or one of whose references has this value, in any case of letters."""
        wanted = clean_text(str(value)).strip()
        referring = models.Q(references__value=fold(wanted))
        return self.filter(referring | models.Q(saga_id=wanted)).distinct()


def fold(value: Any) -> str:
    """A reference as it is stored and searched: without case, at most 255 characters."""
    return clean_text(str(value)).strip().casefold()[:255]
