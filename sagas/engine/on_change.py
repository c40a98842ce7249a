"""Call a saga's `on_change` in the transaction that changes the state."""

from __future__ import annotations

from sagas.definition.saga import Saga
from sagas.definition.states import SagaState
from sagas.models import SagaExecution
from sagas.storage import database

from .error_classification import redacted_message


class OnChangeFailed(Exception):
    """A saga's `on_change` raised, so the change of state must not be committed."""


def call_on_change(saga: Saga, execution: SagaExecution, old: SagaState) -> None:
    """Call the saga's `on_change`, if it has one, with the execution and its old and new state.

    Call this inside the transaction of the change. Raises OnChangeFailed, with a redacted text, if `on_change` raises.
    An error on a broken connection is raised unchanged, because the caller repeats the whole transaction. The call has
    its own savepoint: on PostgreSQL a database error would otherwise abort the surrounding transaction.
    """
    if saga.on_change is None:
        return
    try:
        with database.one_commit():
            saga.on_change(execution, old, execution.state)
            if database.connection().needs_rollback:
                raise OnChangeFailed("it caught a database error, which rolled back what it wrote")
    except OnChangeFailed:
        raise
    except Exception as error:
        if not database.connection().is_usable():
            raise
        # Keep only the first line: databases quote the values of a row, which may be personal, on later lines.
        lines = redacted_message(error, saga, execution.input, execution.context).splitlines()
        first_line = lines[0] if lines else ""
        # Drop the cause: a traceback would print its text, which is not redacted.
        raise OnChangeFailed(f"{type(error).__name__}: {first_line}") from None
