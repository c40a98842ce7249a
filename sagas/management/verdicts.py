"""How an execution stands, in plain words, as an exit code and as a JSON document."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone

from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Outcome, SagaState
from sagas.engine import planner
from sagas.engine.history import History, StepFacts, facts_of, in_doubt
from sagas.engine.leased_execution import load_history
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.presentation.messages import by_hand
from sagas.storage import database

from .exits import Exit
from .lines import error_of, impersonal, one_line, skipped

MANAGE = "python manage.py"

CODES = {
    SagaState.PENDING: Exit.GOES_ON,
    SagaState.IN_PROGRESS: Exit.GOES_ON,
    SagaState.COMPENSATING: Exit.GOES_ON,
    SagaState.SUCCEEDED: Exit.SUCCEEDED,
    SagaState.FAILED: Exit.UNDONE,
    SagaState.PARTIALLY_COMPENSATED: Exit.NEEDS_A_PERSON,
}


@dataclass(frozen=True)
class Standing:
    """An execution with what its history says; `saga` is None when it is not registered here."""

    execution: SagaExecution
    saga: Saga | None
    history: History

    @property
    def code(self) -> Exit:
        """The exit code that says how it stands."""
        return Exit.NEEDS_A_PERSON if self.execution.held else CODES[self.execution.state]

    @cached_property
    def views(self) -> dict[str, StepFacts]:
        """What is known of each planned step."""
        return facts_of(self.history)

    @property
    def undone(self) -> list[str]:
        """The steps whose effect was taken back, in the order of the undos."""
        return [name for name in reversed(self.history.plan) if self.views[name].compensated]

    @property
    def remaining(self) -> list[str]:
        """The steps that should be undone and are not, last step first."""
        rolling = self.execution.state in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED)
        return planner.remaining(self.saga, self.history) if self.saga and rolling else []

    @property
    def in_doubt(self) -> list[str]:
        """The steps of which nobody knows whether they took effect."""
        return in_doubt(self.history)

    @property
    def left_standing(self) -> list[str]:
        """The steps that took effect, or may have, and have no undo."""
        names = [name for name in self.history.plan if self.views[name].to_compensate]
        steps = {name: self.saga.step(name) if self.saga else None for name in names}
        return [name for name, step in steps.items() if step and not step.compensation]

    @property
    def next_attempt(self) -> str:
        """The step whose turn it is, as in `the undo of send_email`; "" when there is none."""
        attempt = planner.in_flight(self.saga, self.history) if self.saga else None
        if attempt is None:
            return ""
        undo = attempt.direction is Direction.COMPENSATION
        return f"the undo of {attempt.step.name}" if undo else attempt.step.name


def standing_of(saga_id: str) -> Standing | None:
    """How the execution stands now; None when there is none of that id."""
    execution = SagaExecution.objects.using(database.alias()).with_id(saga_id).first()
    return standing(execution) if execution else None


def standing(execution: SagaExecution) -> Standing:
    """How a loaded execution stands."""
    return Standing(execution, all_sagas().get(execution.saga_name), load_history(execution))


def diagnosis(stands: Standing) -> str:
    """What has become of it and, where a person has to act, what to do."""
    tell = _held if stands.execution.held else DIAGNOSES[stands.execution.state]
    return tell(stands)


def how_to_go_on(execution: SagaExecution) -> str:
    """Who takes an unfinished execution up again."""
    saga_id = shlex.quote(execution.saga_id)
    option = f"--saga-id={saga_id}" if saga_id.startswith("-") else f"--saga-id {saga_id}"
    return f"Workers go on with it, or here: {MANAGE} run_saga {execution.saga_name} {option}"


def document(stands: Standing) -> dict[str, Any]:
    """The execution for programs. Input, context and outputs stay out: they are personal."""
    execution = stands.execution
    return {
        "saga_id": execution.saga_id,
        "saga": execution.saga_name,
        "state": execution.state.value,
        "held": _why_held(stands),
        "needs_attention": execution.needs_attention,
        "run": execution.run,
        "plan": execution.plan,
        "steps_completed": execution.steps_completed,
        "failed_step": execution.failed_step,
        "compensation_performed": execution.compensation_performed,
        "undone": stands.undone,
        "remaining": stands.remaining,
        "in_doubt": stands.in_doubt,
        "created_at": _iso(execution.created_at),
        "started_at": _iso(execution.started_at),
        "finished_at": _iso(execution.finished_at),
        "duration_seconds": execution.duration(),
        "worker": execution.worker if execution.leased else "",
        "due_at": _iso(execution.due_at),
        "steps": [_step_document(run, stands) for run in execution.step_executions.using(database.alias())],
        "verdict": diagnosis(stands),
        "exit_code": int(stands.code),
    }


def listed(stands: Standing) -> str:
    """One line of a list of executions."""
    execution = stands.execution
    state = f"{words(execution.state)}, held" if execution.held else words(execution.state)
    return f"{execution.saga_id}  {execution.saga_name}  {state}  started {local(execution.created_at)}"


def words(state: SagaState) -> str:
    """The state as people read it."""
    return state.value.replace("_", " ")


def local(moment: dt.datetime) -> str:
    """A moment in the project's time zone."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S")


def process_of(worker: str) -> str:
    """The process of a worker's name, which also names the tenure: host:process:tenure."""
    return worker.rpartition(":")[0]


def _succeeded(stands: Standing) -> str:
    done = stands.execution.steps_completed
    failed = [name for name in stands.history.plan if name not in done]
    text = f"Succeeded: {_name(stands)}, {len(done)} of {len(stands.history.plan)} steps done."
    return f"{text} Optional and not done: {_names(failed)}." if failed else text


def _failed(stands: Standing) -> str:
    undone, left = stands.undone, stands.left_standing
    parts = [_why_failed(stands), f"Undone: {_names(undone)}." if undone else "There was nothing to undo."]
    if left:
        parts.append(f"Left as they are, for they have no undo: {_names(left)}.")
    return " ".join(parts)


def _why_failed(stands: Standing) -> str:
    failed = stands.execution.failed_step
    if failed:
        error = _last_error(stands, failed, Direction.ACTION)
        return f"Failed: {_name(stands)}, at {failed}{f': {error}' if error else ''}".rstrip(".") + "."
    acts = [SagaEvent.Kind.CANCEL, SagaEvent.Kind.COMPENSATE]
    events = stands.execution.events.using(database.alias())
    act = events.filter(kind__in=acts, run=stands.execution.run).order_by("-id").first()
    if act is None:
        return f"Failed: {_name(stands)}."
    what = "Cancelled" if act.kind == SagaEvent.Kind.CANCEL else "Undone on request"
    who = f" by {act.actor_name}" if act.actor_name else ""
    reason = one_line(impersonal(act.reason, stands.execution, stands.saga))
    return f"{what}{who}: {_name(stands)}{f', because: {reason}' if reason else ''}."


def _partially_compensated(stands: Standing) -> str:
    undone = f" Undone: {_names(stands.undone)}." if stands.undone else ""
    return "\n".join(
        [
            f"Partially compensated: {_name(stands)}.{undone} NOT undone:",
            *(f"  {_not_undone(stands, name)}" for name in stands.remaining),
            "A person has to see to it. When that is done, put it down:",
            *(f"  {_resolve_command(stands, name, 'undone')}" for name in stands.remaining),
            "or have it tried once more:",
            f'  {MANAGE} saga_retry --reason "…" {_id_argument(stands)}',
        ]
    )


def _not_undone(stands: Standing, name: str) -> str:
    error = _last_error(stands, name, Direction.COMPENSATION)
    words = by_hand(name, stands.execution, stands.saga, stands.history, personal=False)
    return " ".join(part for part in (f"{name}: {error}" if error else name, words) if part)


def _held(stands: Standing) -> str:
    lines = [f"Held: {_name(stands)}, {_progress(stands)}. {one_line(_why_held(stands))}"]
    if stands.in_doubt:
        lines.append(f"In doubt: {_names(stands.in_doubt)}. When you know what happened, put it down:")
        lines += [f"  {_resolve_command(stands, name, 'done')}" for name in stands.in_doubt]
    lines.append("Nothing goes on until a person releases it or resolves the step by hand.")
    return "\n".join(lines)


def _why_held(stands: Standing) -> str:
    return impersonal(stands.execution.held, stands.execution, stands.saga)


def _pending(stands: Standing) -> str:
    return f"Queued: {_name(stands)}. {how_to_go_on(stands.execution)}"


def _unfinished(stands: Standing) -> str:
    execution = stands.execution
    undoing = execution.state is SagaState.COMPENSATING
    progress = f"not undone yet: {_names(stands.remaining)}" if undoing else _progress(stands)
    text = f"{'Being undone' if undoing else 'Still running'}: {_name(stands)}, {progress}."
    return f"{text} {_whose_turn(stands)}"


def _whose_turn(stands: Standing) -> str:
    execution = stands.execution
    if execution.leased:
        return f"{process_of(execution.worker)} has it in hand."
    step, due = stands.next_attempt, execution.due_at
    turn = f"Next is {step}, at {local(due)}. " if step and due else ""
    return turn + how_to_go_on(execution)


DIAGNOSES: dict[SagaState, Callable[[Standing], str]] = {
    SagaState.PENDING: _pending,
    SagaState.IN_PROGRESS: _unfinished,
    SagaState.COMPENSATING: _unfinished,
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}


def _last_error(stands: Standing, step: str, direction: Direction) -> str:
    runs = stands.execution.step_executions.using(database.alias())
    tried = runs.filter(step=step, direction=direction).exclude(outcome=Outcome.SUCCEEDED)
    last = tried.order_by("-sequence").first()
    return error_of(last) if last else ""


def _resolve_command(stands: Standing, step: str, outcome: str) -> str:
    return f'{MANAGE} saga_resolve --reason "…" --evidence "…" {_id_argument(stands)} {step} {outcome}'


def _id_argument(stands: Standing) -> str:
    """The id after the options; one that begins with a dash would be taken for an option."""
    saga_id = shlex.quote(stands.execution.saga_id)
    return f"-- {saga_id}" if saga_id.startswith("-") else saga_id


def _name(stands: Standing) -> str:
    return f"{stands.execution.saga_name} {stands.execution.saga_id}"


def _progress(stands: Standing) -> str:
    return f"{len(stands.execution.steps_completed)} of {len(stands.history.plan)} steps done"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _step_document(run: StepRun, stands: Standing) -> dict[str, Any]:
    return {
        "step": run.step,
        "direction": run.direction,
        "attempt": run.attempt,
        "outcome": run.outcome,
        "ending": run.ending,
        "resolution": run.resolution,
        "skipped": skipped(run, stands.execution, stands.saga) or None,
        "error_type": run.error_type,
        "error": error_of(run),
        "retry_at": _iso(run.retry_at),
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "worker": run.worker,
    }
