"""What lists say of executions, in words, and no more than the reader may see.

A page of them is read in three queries, and one more for who may not see what is personal. A row whose JSON cannot be
read is told of without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from sagas.admin.unreadable import OF_EXECUTIONS, as_texts, mended
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.definition.states import SagaState
from sagas.models import SagaExecution, SagaReference
from sagas.models.querysets import fold
from sagas.presentation import labels, messages
from sagas.presentation.redactor import Redactor


@dataclass(frozen=True)
class Told:
    """An execution in words: its saga, what the customer is told, and whom and what it is about.

    `failed_step` is the one that has ended it, "" if none has; `references` are pairs of key and value; `done` of
    `planned` steps are done.
    """

    saga: str
    sentence: str
    failed_step: str
    references: tuple[tuple[str, str], ...]
    done: int
    planned: int


def readable(executions: QuerySet[SagaExecution]) -> QuerySet[SagaExecution]:
    """The same executions, so that one whose JSON cannot be read does not take the others with it; for `tell`."""
    return as_texts(executions, OF_EXECUTIONS)


def tell(executions: Sequence[SagaExecution], redactors: Mapping[int, Redactor]) -> dict[int, Told]:
    """What is told of each of these, which must come from `readable`, by its id."""
    references: dict[int, list[tuple[str, str]]] = {execution.pk: [] for execution in executions}
    rows = SagaReference.objects.filter(execution__in=list(references)).order_by("id")
    for pk, key, value in rows.values_list("execution_id", "key", "value"):
        references[pk].append((key, value))
    by_hand = messages.settled_by_hand(executions)
    return {row.pk: _told(row, references[row.pk], redactors[row.pk], by_hand=row.pk in by_hand) for row in executions}


def _told(
    execution: SagaExecution, references: Sequence[tuple[str, str]], redactor: Redactor, *, by_hand: bool
) -> Told:
    saga = all_sagas().get(execution.saga_name)
    mended(execution, OF_EXECUTIONS)
    failed = execution.failed_step
    return Told(
        saga=labels.name_label(execution.saga_name),
        sentence=messages.message(execution, saga, redactor, by_hand=by_hand),
        failed_step=labels.step_label(failed, saga) if failed else "",
        references=() if redactor.shows_nothing else _shown(execution, saga, references, redactor),
        done=len(execution.steps_completed),
        planned=len(execution.plan),
    )


def _shown(
    execution: SagaExecution, saga: Saga | None, references: Sequence[tuple[str, str]], redactor: Redactor
) -> tuple[tuple[str, str], ...]:
    """In the saga's own order."""
    order = {key: place for place, key in enumerate(saga.references if saga else ())}
    contexts = (execution.context, execution.input)
    given = [(key, _as_given(key, value, contexts)) for key, value in references]
    seen = [(key, redactor({key: value})[key]) for key, value in given]
    return tuple(sorted(seen, key=lambda pair: order.get(pair[0], len(order))))


def _as_given(key: str, folded: str, contexts: Sequence[Mapping[str, Any]]) -> str:
    """The value as people write it: it is stored without capital letters."""
    values = (str(context[key]) for context in contexts if isinstance(context.get(key), (str, int)))
    return next((value for value in values if fold(value) == folded), folded)


def under_way(execution: SagaExecution) -> bool:
    """Whether it is on its way to its end, and not on its way back."""
    return execution.state in (SagaState.PENDING, SagaState.IN_PROGRESS)
