"""Validate what a caller starts (saga, id, input, priority), create the execution and insert it.

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sagas import storage
from sagas.conf import get_settings
from sagas.definition import json_values, redaction
from sagas.definition.card_numbers import refuse_card_numbers
from sagas.definition.exceptions import DefinitionError, InvalidInput
from sagas.definition.registry import all_sagas, get_saga
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import Priority, SagaState
from sagas.models import SagaExecution
from sagas.storage import database

from . import planner
from .history import History
from .leased_execution import worker_name


def saga_for(saga_name: str, steps: Sequence[SagaStep] | None) -> Saga:
    """Return the saga to run: the registered one, or one made of `steps`.

    A plain list of steps gets the schema and other properties of the registered saga, if there is one. Raises
    UnknownSaga if `steps` is None and the name is not registered; DefinitionError if `steps` is a saga with another
    name.
    """
    if steps is None:
        return get_saga(saga_name)
    if isinstance(steps, Saga):
        if steps.name != saga_name:
            raise DefinitionError(f"saga_name is {saga_name!r}, but the steps are those of saga {steps.name!r}")
        return steps
    known = all_sagas().get(saga_name)
    return known.with_steps(steps) if known else Saga(saga_name, steps)


def check_workers_know(saga: Saga) -> None:
    """Check that workers can run this saga by its registered definition.

    Raises UnknownSaga if the name is not registered, and DefinitionError if the registered saga lacks one of its steps.
    """
    registered = get_saga(saga.name)
    unknown = [name for name in saga.names if registered.step(name) is None]
    if unknown:
        raise DefinitionError(f"saga {saga.name!r}: workers know no step {unknown[0]!r}; register it, or use execute()")


def new_execution(
    saga: Saga,
    saga_id: str | None,
    context: Mapping[str, Any] | None,
    priority: Priority | int | None,
    owner: Any = None,
) -> SagaExecution:
    """Return an unsaved execution. `saga_id` None = a random UUID; `priority` None = the saga's own.

    Raises InvalidInput if the id, the input or the priority is not valid.
    """
    given = given_text(context)
    text = _validated_text(saga, given)
    history = History(checked_id(saga_id), 1, SagaState.PENDING, tuple(saga.names))
    try:
        priority = saga.priority if priority is None else Priority(priority)
    except ValueError:
        known = ", ".join(f"{member.value} ({member.name})" for member in Priority)
        raise InvalidInput({"priority": f"must be one of {known}, not {priority!r}"}) from None
    return SagaExecution(
        **history.columns,
        saga_id=history.saga_id,
        saga_name=saga.name,
        input=json.loads(text),
        context=json.loads(text),
        input_hash=json_values.hash_of(given),
        owner=owner,
        priority=priority,
        worker=worker_name(),
        action_started=False if planner.needs_start_mark(saga[0]) else None,
    )


def insert(saga: Saga, execution: SagaExecution, *, lease: float | None) -> bool:
    """Insert the execution with its references. Return False if its id is taken (promise 17).

    `lease` is in seconds: the caller owns the row for that time. None = a worker claims it at once.
    """
    references = {key: execution.input[key] for key in saga.references if key in execution.input}
    write = partial(storage.insert_execution, execution, references, lease=lease)
    return database.persist(write, partial(storage.find_inserted, execution))


def checked_id(saga_id: str | None) -> str:
    """Return the caller's id, or a random UUID for None. Raise InvalidInput if the id is not valid."""
    if saga_id is None:
        return str(uuid.uuid4())
    if not json_values.is_id(saga_id):
        raise InvalidInput({"saga_id": "must be 1 to 150 characters of A-Z a-z 0-9 . _ : ~ -, and not . or .."})
    return saga_id


def input_text(saga: Saga, context: Mapping[str, Any] | None) -> str:
    """Return the validated input as canonical JSON text.

    Raises InvalidInput if the schema rejects `context`, or as `given_text` does.
    """
    return _validated_text(saga, given_text(context))


def given_text(context: Mapping[str, Any] | None) -> str:
    """Return the input as the caller gave it, as canonical JSON text.

    The hash of this text tells whether two starts are the same. The validated input cannot: it may depend on the day.
    Raises InvalidInput if `context` is no mapping, is too large or contains a card number.
    """
    given: Any = {} if context is None else context
    if not isinstance(given, Mapping):
        raise InvalidInput({"": f"the context must be a mapping, not a {type(given).__name__}"})
    text = json_values.to_json(given, limit=get_settings().MAX_CONTEXT_BYTES)
    refuse_card_numbers(json.loads(text))
    return text


def _validated_text(saga: Saga, text: str) -> str:
    if saga.schema is None:
        return text
    serializer = saga.schema(data=json.loads(text))
    given = serializer.initial_data
    unknown = [key for key in given if key not in serializer.fields]
    if unknown:
        known = ", ".join(serializer.fields)
        raise InvalidInput(dict.fromkeys(unknown, f"is not an input of {saga.name}; its inputs are {known}"))
    if not serializer.is_valid():
        # Redact the messages, because some of them quote the input.
        errors = _flat(serializer.errors)
        raise InvalidInput({key: redaction.redact(message, saga.personal, given) for key, message in errors})
    return json_values.to_json(dict(serializer.validated_data), limit=get_settings().MAX_CONTEXT_BYTES)


def _flat(errors: Any, path: str = "") -> list[tuple[str, str]]:
    """Return DRF's nested errors as (dotted key, message) pairs."""
    if isinstance(errors, list) and all(isinstance(error, str) for error in errors):
        return [(path, " ".join(str(error) for error in errors))]
    pairs = []
    for key, value in errors.items() if isinstance(errors, Mapping) else enumerate(errors):
        inner = f"{path}.{key}" if path else str(key)
        pairs += _flat(value, path if key == "non_field_errors" else inner)
    return pairs
