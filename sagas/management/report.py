"""The report on an execution: a text, an exit code and a JSON document."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone

from sagas.definition.states import Direction, Outcome, SagaState
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.presentation.execution_view import ExecutionView
from sagas.presentation.messages import by_hand
from sagas.presentation.redactor import Redactor, redactor_for
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


def code_of(view: ExecutionView) -> Exit:
    """Return the exit code for the state of the execution."""
    return Exit.NEEDS_A_PERSON if view.execution.held else CODES[view.state]


def diagnosis(view: ExecutionView) -> str:
    """Return what has happened to the execution and, if someone must act, which commands help."""
    tell = _held if view.execution.held else DIAGNOSES[view.execution.state]
    return tell(view)


def redactor_of(view: ExecutionView) -> Redactor:
    """The redactor for a terminal, which shows no personal values."""
    return redactor_for(view.execution, view.saga, personal=False, events=view.events)


def how_to_go_on(execution: SagaExecution) -> str:
    """Return how an unfinished execution goes on."""
    saga_id = shlex.quote(execution.saga_id)
    option = f"--saga-id={saga_id}" if saga_id.startswith("-") else f"--saga-id {saga_id}"
    return f"Workers go on with it, or here: {MANAGE} run_saga {execution.saga_name} {option}"


def document(view: ExecutionView) -> dict[str, Any]:
    """Return the JSON document of an execution, without input, context and outputs, which are personal."""
    execution = view.execution
    return {
        "saga_id": execution.saga_id,
        "saga": execution.saga_name,
        "state": execution.state.value,
        "held": _why_held(view),
        "needs_attention": execution.needs_attention,
        "run": execution.run,
        "plan": execution.plan,
        "steps_completed": execution.steps_completed,
        "failed_step": execution.failed_step,
        "compensation_performed": execution.compensation_performed,
        "undone": view.compensated,
        "remaining": _remaining(view),
        "in_doubt": view.in_doubt,
        "created_at": _iso(execution.created_at),
        "started_at": _iso(execution.started_at),
        "finished_at": _iso(execution.finished_at),
        "duration_seconds": execution.duration(),
        "worker": execution.worker if execution.leased else "",
        "due_at": _iso(execution.due_at),
        "steps": [_step_document(run, view) for run in execution.step_executions.using(database.alias())],
        "verdict": diagnosis(view),
        "exit_code": int(code_of(view)),
    }


def listed(view: ExecutionView) -> str:
    """Return the line of an execution in a list."""
    execution = view.execution
    state = f"{state_label(execution.state)}, held" if execution.held else state_label(execution.state)
    return f"{execution.saga_id}  {execution.saga_name}  {state}  started {local(execution.created_at)}"


def state_label(state: SagaState) -> str:
    """Return the state as people read it."""
    return state.value.replace("_", " ")


def local(moment: dt.datetime) -> str:
    """Format a moment in the project's time zone."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S")


def process_of(worker: str) -> str:
    """Return host:process of a worker's name, which ends with random digits."""
    return worker.rpartition(":")[0]


def _succeeded(view: ExecutionView) -> str:
    done = view.execution.steps_completed
    failed = [name for name in view.history.plan if name not in done]
    text = f"Succeeded: {_name(view)}, {len(done)} of {len(view.history.plan)} steps done."
    return f"{text} Optional and not done: {_names(failed)}." if failed else text


def _failed(view: ExecutionView) -> str:
    undone, left = view.compensated, view.without_compensation
    parts = [_why_failed(view), f"Undone: {_names(undone)}." if undone else "There was nothing to undo."]
    if left:
        parts.append(f"Left as they are, for they have no undo: {_names(left)}.")
    return " ".join(parts)


def _why_failed(view: ExecutionView) -> str:
    failed = view.execution.failed_step
    if failed:
        error = _last_error(view, failed, Direction.ACTION)
        return f"Failed: {_name(view)}, at {failed}{f': {error}' if error else ''}".rstrip(".") + "."
    acts = [SagaEvent.Kind.CANCEL, SagaEvent.Kind.COMPENSATE]
    events = view.execution.events.using(database.alias())
    act = events.filter(kind__in=acts, run=view.execution.run).order_by("-id").first()
    if act is None:
        return f"Failed: {_name(view)}."
    what = "Cancelled" if act.kind == SagaEvent.Kind.CANCEL else "Undone on request"
    who = f" by {act.actor_name}" if act.actor_name else ""
    reason = one_line(redactor_of(view)(act.reason))
    return f"{what}{who}: {_name(view)}{f', because: {reason}' if reason else ''}."


def _partially_compensated(view: ExecutionView) -> str:
    undone = f" Undone: {_names(view.compensated)}." if view.compensated else ""
    return "\n".join(
        [
            f"Partially compensated: {_name(view)}.{undone} NOT undone:",
            *(f"  {_open_compensation(view, name)}" for name in _remaining(view)),
            "A person has to see to it. When that is done, put it down:",
            *(f"  {_resolve_command(view, name, 'undone')}" for name in _remaining(view)),
            "or have it tried once more:",
            f'  {MANAGE} saga_retry --reason "…" {_id_argument(view)}',
        ]
    )


def _open_compensation(view: ExecutionView, name: str) -> str:
    error = _last_error(view, name, Direction.COMPENSATION)
    advice = by_hand(view, name, redactor_of(view))
    return " ".join(part for part in (f"{name}: {error}" if error else name, advice) if part)


def _held(view: ExecutionView) -> str:
    lines = [f"Held: {_name(view)}, {_progress(view)}. {one_line(_why_held(view))}"]
    if view.in_doubt:
        lines.append(f"In doubt: {_names(view.in_doubt)}. When you know what happened, put it down:")
        lines += [f"  {_resolve_command(view, name, 'done')}" for name in view.in_doubt]
    lines.append("Nothing goes on until a person releases it or resolves the step by hand.")
    return "\n".join(lines)


def _why_held(view: ExecutionView) -> str:
    return redactor_of(view)(view.execution.held) if view.execution.held else ""


def _pending(view: ExecutionView) -> str:
    return f"Queued: {_name(view)}. {how_to_go_on(view.execution)}"


def _unfinished(view: ExecutionView) -> str:
    execution = view.execution
    undoing = execution.state is SagaState.COMPENSATING
    progress = f"not undone yet: {_names(_remaining(view))}" if undoing else _progress(view)
    text = f"{'Being undone' if undoing else 'Still running'}: {_name(view)}, {progress}."
    return f"{text} {_whose_turn(view)}"


def _whose_turn(view: ExecutionView) -> str:
    execution = view.execution
    if execution.leased:
        return f"{process_of(execution.worker)} is working on it."
    step, due = _next_attempt(view), execution.due_at
    turn = f"Next is {step}, at {local(due)}. " if step and due else ""
    return turn + how_to_go_on(execution)


def _remaining(view: ExecutionView) -> list[str]:
    """The steps that should be compensated and are not, last step first."""
    return view.remaining if view.rolling_back else []


def _next_attempt(view: ExecutionView) -> str:
    """The step whose turn it is, as in `the undo of send_email`; "" when there is none."""
    attempt = view.next_attempt
    if attempt is None:
        return ""
    undo = attempt.direction is Direction.COMPENSATION
    return f"the undo of {attempt.step.name}" if undo else attempt.step.name


DIAGNOSES: dict[SagaState, Callable[[ExecutionView], str]] = {
    SagaState.PENDING: _pending,
    SagaState.IN_PROGRESS: _unfinished,
    SagaState.COMPENSATING: _unfinished,
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}


def _last_error(view: ExecutionView, step: str, direction: Direction) -> str:
    runs = view.execution.step_executions.using(database.alias())
    tried = runs.filter(step=step, direction=direction).exclude(outcome=Outcome.SUCCEEDED)
    last = tried.order_by("-sequence").first()
    return error_of(last) if last else ""


def _resolve_command(view: ExecutionView, step: str, outcome: str) -> str:
    return f'{MANAGE} saga_resolve --reason "…" --evidence "…" {_id_argument(view)} {step} {outcome}'


def _id_argument(view: ExecutionView) -> str:
    """The id after the options; one that begins with a dash would be taken for an option."""
    saga_id = shlex.quote(view.execution.saga_id)
    return f"-- {saga_id}" if saga_id.startswith("-") else saga_id


def _name(view: ExecutionView) -> str:
    return f"{view.execution.saga_name} {view.execution.saga_id}"


def _progress(view: ExecutionView) -> str:
    return f"{len(view.execution.steps_completed)} of {len(view.history.plan)} steps done"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


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
