"""Report on an execution, as a text, an exit code and a JSON document."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Resolution, SagaState
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.presentation.diagnosis import Diagnosis, diagnose
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.overview import StepLine, step_lines
from sagas.presentation.redactor import Redactor, redactor_for
from sagas.presentation.step_status import StepStatus
from sagas.storage import database

from .attempt_lines import error_of, one_line, skipped
from .exit_codes import Exit

MANAGE = "python manage.py"

CODES = {
    SagaState.PENDING: Exit.GOES_ON,
    SagaState.IN_PROGRESS: Exit.GOES_ON,
    SagaState.COMPENSATING: Exit.GOES_ON,
    SagaState.SUCCEEDED: Exit.SUCCEEDED,
    SagaState.FAILED: Exit.UNDONE,
    SagaState.PARTIALLY_COMPENSATED: Exit.NEEDS_A_PERSON,
}
HEADINGS = {
    StepStatus.DONE: _("Done"),
    StepStatus.COMPENSATED: _("Undone"),
    StepStatus.IN_DOUBT: _("In doubt"),
    StepStatus.NOT_COMPENSATED: _("Could not be undone"),
}
# The resolution that the suggested saga_resolve command records for a step with this status.
RESOLUTIONS = {StepStatus.IN_DOUBT: Resolution.DONE, StepStatus.NOT_COMPENSATED: Resolution.UNDONE}


def code_of(view: ExecutionView) -> Exit:
    """Return the exit code for the state of the execution and its hold."""
    return Exit.NEEDS_A_PERSON if view.execution.held else CODES[view.state]


def report_of(view: ExecutionView) -> str:
    """Return the diagnosis, the steps by status, their errors, and the commands that the diagnosis suggests."""
    redactor = redactor_of(view)
    diagnosis, steps = diagnose(view, redactor), step_lines(view, redactor)
    first = f"{view.execution.saga_name} {view.execution.saga_id}: {diagnosis.headline} {one_line(diagnosis.advice)}"
    details = [*_steps_by_status(steps), *_errors(steps), *_commands(view, diagnosis, steps)]
    if view.saga and code_of(view) is Exit.GOES_ON:
        details.append(how_to_go_on(view.execution))
    return "\n  ".join([first, *details])


def _steps_by_status(steps: Iterable[StepLine]) -> Iterator[str]:
    for status, heading in HEADINGS.items():
        if names := [line.step for line in steps if line.status is status]:
            yield f"{heading}: {', '.join(names)}."


def _errors(steps: Iterable[StepLine]) -> Iterator[str]:
    """Yield a line for each step with an error: the last error, and what staff can do."""
    for line in steps:
        if line.why or line.by_hand:
            yield " ".join(part for part in (f"{line.step}:", one_line(line.why), line.by_hand) if part)


def _commands(view: ExecutionView, diagnosis: Diagnosis, steps: Iterable[StepLine]) -> Iterator[str]:
    """Yield the commands for the resolutions and the retry that the diagnosis suggests."""
    saga_id = shlex.quote(view.execution.saga_id)
    # The id comes after `--`, because an id that begins with a dash would be parsed as an option.
    argument = f"-- {saga_id}" if saga_id.startswith("-") else saga_id
    if SagaEvent.Kind.RESOLVE in diagnosis.operations:
        for line in steps:
            if outcome := RESOLUTIONS.get(line.status):
                yield f'{MANAGE} saga_resolve --reason "…" --evidence "…" {argument} {line.step} {outcome}'
    if SagaEvent.Kind.RETRY in diagnosis.operations:
        yield f'{MANAGE} saga_retry --reason "…" {argument}'


def redactor_of(view: ExecutionView) -> Redactor:
    """Make a redactor that hides personal values, because a terminal must not show them."""
    return redactor_for(view.execution, view.saga, personal=False, events=view.events)


def how_to_go_on(execution: SagaExecution) -> str:
    """Return a sentence that says how an unfinished execution continues."""
    if execution.leased:
        return f"{process_of(execution.worker)} is working on it."
    saga_id = shlex.quote(execution.saga_id)
    option = f"--saga-id={saga_id}" if saga_id.startswith("-") else f"--saga-id {saga_id}"
    return f"Workers continue it. To continue it here: {MANAGE} run_saga {execution.saga_name} {option}"


def document(view: ExecutionView) -> dict[str, Any]:
    """Return the JSON document of an execution. Omit input, context and outputs, because they can be personal."""
    execution = view.execution
    return {
        "saga_id": execution.saga_id,
        "saga": execution.saga_name,
        "state": execution.state.value,
        "held": redactor_of(view)(execution.held) if execution.held else "",
        "needs_attention": execution.needs_attention,
        "run": execution.run,
        "plan": execution.plan,
        "steps_completed": execution.steps_completed,
        "failed_step": execution.failed_step,
        "compensation_performed": execution.compensation_performed,
        "undone": view.compensated,
        "remaining": view.remaining if view.rolling_back else [],
        "in_doubt": view.in_doubt,
        "created_at": _iso(execution.created_at),
        "started_at": _iso(execution.started_at),
        "finished_at": _iso(execution.finished_at),
        "duration_seconds": execution.duration(),
        "worker": execution.worker if execution.leased else "",
        "due_at": _iso(execution.due_at),
        "steps": [_step_document(run, view) for run in execution.step_executions.using(database.alias())],
        "verdict": report_of(view),
        "exit_code": int(code_of(view)),
    }


def listed(view: ExecutionView) -> str:
    """Return one line about an execution, for a list."""
    execution = view.execution
    state = f"{state_label(execution.state)}, held" if execution.held else state_label(execution.state)
    return f"{execution.saga_id}  {execution.saga_name}  {state}  started {local(execution.created_at)}"


def state_label(state: SagaState) -> str:
    """Return the state with spaces instead of underscores."""
    return state.value.replace("_", " ")


def local(moment: dt.datetime) -> str:
    """Format a time in the project's time zone."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S")


def process_of(worker: str) -> str:
    """Return host:process from a worker's name: drop the random digits at its end."""
    return worker.rpartition(":")[0]


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _step_document(run: StepRun, view: ExecutionView) -> dict[str, Any]:
    return {
        "step": run.step,
        "direction": run.direction,
        "attempt": run.attempt,
        "outcome": run.outcome,
        "ending": run.ending,
        "resolution": run.resolution,
        "skipped": skipped(run, redactor_of(view)) or None,
        "error_type": run.error_type,
        "error": error_of(run),
        "retry_at": _iso(run.retry_at),
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "worker": run.worker,
    }
