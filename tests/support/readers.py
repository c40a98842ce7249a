"""Return the texts of an execution that people read, with or without personal values."""

from sagas.engine.leased_execution import load_history
from sagas.presentation import messages
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.redactor import redactor_for


def message(execution, saga, *, personal=False, **options):
    """Return the message to the customer."""
    return messages.message(execution, saga, redactor_for(execution, saga, personal=personal), **options)


def steps(execution, saga, *, personal=False):
    """Return the status and the sentence of each step."""
    view = ExecutionView(execution, saga, load_history(execution))
    return messages.step_texts(view, redactor_for(execution, saga, personal=personal))
