"""What lists say of executions, in words, and no more than the reader may see.

A page of them is read in two queries, and a row whose JSON cannot be read is told of without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import ExpressionWrapper, F, TextField

from sagas import masking, wording
from sagas.definition import Saga
from sagas.exceptions import UnreadableRow
from sagas.models import SagaExecution, SagaReference
from sagas.querysets import ExecutionQuerySet, fold
from sagas.registry import all_sagas
from sagas.states import SagaState

JSON = ("input", "context", "plan", "steps_completed")
TEXTS = {f"{name}_text": ExpressionWrapper(F(name), output_field=TextField()) for name in JSON}


@dataclass(frozen=True)
class Told:
    """An execution in words: its saga, what the customer is told, and whom and what it is about.

    `references` are pairs of key and value; `done` of `planned` steps are done.
    """

    saga: str
    sentence: str
    references: tuple[tuple[str, str], ...]
    done: int
    planned: int


def as_texts(executions: ExecutionQuerySet) -> ExecutionQuerySet:
    """The same executions, whose JSON comes as text, so that one that is none does not take the others with it."""
    return executions.defer(*JSON).annotate(**TEXTS)


def tell(executions: Sequence[SagaExecution], *, personal: bool) -> dict[int, Told]:
    """What is told of each of these, which must have been read by `as_texts`, by its id."""
    references: dict[int, list[tuple[str, str]]] = {execution.pk: [] for execution in executions}
    rows = SagaReference.objects.filter(execution__in=list(references)).order_by("id")
    for pk, key, value in rows.values_list("execution_id", "key", "value"):
        references[pk].append((key, value))
    return {row.pk: _told(row, references[row.pk], personal=personal) for row in executions}


def _told(execution: SagaExecution, references: Sequence[tuple[str, str]], *, personal: bool) -> Told:
    saga = all_sagas().get(execution.saga_name)
    execution.unreadable = tuple(name for name in JSON if not _read(execution, name))
    hidden = saga.personal if saga and not personal else ()
    known = personal or (saga is not None and not execution.unreadable)
    return Told(
        saga=wording.name_in_words(execution.saga_name),
        sentence=wording.message(execution, saga, personal=personal),
        references=_shown(execution, saga, references, hidden) if known else (),
        done=len(execution.steps_completed),
        planned=len(execution.plan),
    )


def _read(execution: Any, name: str) -> bool:
    """Whether the column could be read from its text; where it could not, it is taken to be empty."""
    field: Any = SagaExecution._meta.get_field(name)
    try:
        setattr(execution, name, field.from_db_value(getattr(execution, f"{name}_text"), None, None))
    except UnreadableRow:
        setattr(execution, name, field.get_default())
        return False
    return True


def _shown(
    execution: SagaExecution, saga: Saga | None, references: Sequence[tuple[str, str]], hidden: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """In the saga's own order."""
    order = {key: place for place, key in enumerate(saga.references if saga else ())}
    contexts = (execution.context, execution.input)
    given = [(key, _as_given(key, value, contexts)) for key, value in references]
    masked = [(key, masking.masked({key: value}, hidden, *contexts)[key]) for key, value in given]
    return tuple(sorted(masked, key=lambda pair: order.get(pair[0], len(order))))


def _as_given(key: str, folded: str, contexts: Sequence[Mapping[str, Any]]) -> str:
    """The value as people write it: it is stored without capital letters."""
    values = (str(context[key]) for context in contexts if isinstance(context.get(key), (str, int)))
    return next((value for value in values if fold(value) == folded), folded)


def under_way(execution: SagaExecution) -> bool:
    """Whether it is on its way to its end, and not on its way back."""
    return execution.state in (SagaState.PENDING, SagaState.IN_PROGRESS)
