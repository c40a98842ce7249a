"""Call a saga's on_change in the transaction of the change that it follows."""

from __future__ import annotations

from sagas.definition.saga import Saga
from sagas.definition.states import SagaState
from sagas.models import SagaExecution
from sagas.storage import database

from .error_classification import redacted_message


class OnChangeFailed(Exception):
    """A saga's on_change raised, so that the change that it follows must not be committed."""


def call_on_change(saga: Saga, execution: SagaExecution, old: SagaState) -> None:
    """Call the saga's on_change; OnChangeFailed if it raises.

    An error on a broken connection is raised as it is, because the whole transaction is repeated then. The call has
    its own savepoint: on PostgreSQL an error of the database would otherwise end the transaction around it.
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
        # Only the first line: databases put the values of a row, which may be personal, on the lines after it.
        lines = redacted_message(error, saga, execution.input, execution.context).splitlines()
        first_line = lines[0] if lines else ""
        # Without its cause: a traceback would print its text, which is not redacted.
        raise OnChangeFailed(f"{type(error).__name__}: {first_line}") from None
