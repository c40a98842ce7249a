"""The texts of an execution's row in the list and in the export, redacted for the reader.

The texts of a page take three queries, and one more for readers who may not see personal values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagas.admin.base import cannot_be_read
from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.models import SagaExecution, SagaReference
from sagas.models.querysets import normalize_reference
from sagas.presentation import labels, messages
from sagas.presentation.redactor import Redactor


@dataclass(frozen=True)
class RowText:
    """The texts of one row.

    `sentence` is the customer's message. `failed_step` is the label of the step that failed, or "". `references` are
    pairs of key and value. `done` of `planned` steps are done.
    """

    saga: str
    sentence: str
    failed_step: str
    references: tuple[tuple[str, str], ...]
    done: int
    planned: int


def texts_of(executions: Sequence[SagaExecution], redactors: Mapping[int, Redactor]) -> dict[int, RowText]:
    """Return the texts of each execution, by primary key.

    `executions` must come from `read_rows`. `redactors` has the redactor of each execution, by primary key.
    """
    references: dict[int, list[tuple[str, str]]] = {execution.pk: [] for execution in executions}
    rows = SagaReference.objects.filter(execution__in=list(references)).order_by("id")
    for pk, key, value in rows.values_list("execution_id", "key", "value"):
        references[pk].append((key, value))
    by_hand = messages.settled_by_hand(executions)
    return {row.pk: _texts(row, references[row.pk], redactors[row.pk], by_hand=row.pk in by_hand) for row in executions}


def _texts(
    execution: SagaExecution, references: Sequence[tuple[str, str]], redactor: Redactor, *, by_hand: bool
) -> RowText:
    if execution.unreadable:
        return RowText(labels.name_label(execution.saga_name), cannot_be_read(*execution.unreadable), "", (), 0, 0)
    saga = all_sagas().get(execution.saga_name)
    failed = execution.failed_step
    return RowText(
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
    """Redact the references, and sort them in the order of `saga.references`."""
    order = {key: place for place, key in enumerate(saga.references if saga else ())}
    contexts = (execution.context, execution.input)
    seen = []
    for key, folded in references:
        # References are stored case-folded. Show the original value.
        given = (str(context[key]) for context in contexts if isinstance(context.get(key), (str, int)))
        value = next((each for each in given if normalize_reference(each) == folded), folded)
        seen.append((key, redactor({key: value})[key]))
    return tuple(sorted(seen, key=lambda pair: order.get(pair[0], len(order))))
