"""What people may do to an execution: which acts its state allows, what each would do, and doing it.

Every surface (admin, API, commands, the orchestrator) asks here, so all of them allow and say the same.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from . import checkpoints, journal, planner, starting, values
from .conf import get_settings
from .definition import Saga
from .exceptions import ActRefused, InvalidInput, UnknownExecution
from .logs import log
from .models import SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from .planner import Attempt, History, Hold, RollBack
from .registry import all_sagas
from .states import (
    TERMINAL,
    UNFINISHED,
    Direction,
    Outcome,
    Resolution,
    SagaEventKind,
    SagaState,
    state_after,
)
from .tenure import history_of, record_of, worker_name

TRIES = 20


class Act(StrEnum):
    """What an operator can do; the values are the commands' and the API's words."""

    RETRY = "retry"
    CANCEL = "cancel"
    COMPENSATE = "compensate"
    HOLD = "hold"
    RELEASE = "release"
    VERIFY = "verify"
    RESOLVE = "resolve"
    ACKNOWLEDGE = "acknowledge"
    CORRECT = "correct"


@dataclass(frozen=True)
class By:
    """Who acts, and from where: admin, api, cli or python."""

    user: Any = None
    name: str = ""
    source: str = "python"

    @property
    def told_name(self) -> str:
        """The name that the event keeps, also when the user is deleted later."""
        return (self.name or (self.user.get_username() if self.user else ""))[:150]


PYTHON = By()


@dataclass(frozen=True)
class Call:
    """A call that an act would have made: the step, in which direction, and the key it would carry."""

    step: str
    direction: Direction
    key: str


@dataclass(frozen=True)
class Preview:
    """What an act would do. `version` is the execution's; the act can be made to depend on it."""

    act: Act
    saga_id: str
    version: int
    sentence: str
    calls: tuple[Call, ...] = ()
    not_repeated: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """An execution with its history and definition; `saga` is None when it is not registered here."""

    execution: SagaExecution
    history: History
    saga: Saga | None

    @property
    def state(self) -> SagaState:
        """Where it stands."""
        return self.execution.state


class _Stale(Exception):
    """The row moved between the look and the write."""


def allowed(saga_id: str) -> tuple[Act, ...]:
    """The acts that the execution's state allows now."""
    return _allowed(_situation(saga_id))


def refusals(saga_id: str) -> dict[Act, str]:
    """Each act with the sentence why it is not possible now, "" for those that are."""
    situation = _situation(saga_id)
    return {act: refusal(situation) for act, refusal in REFUSALS.items()}


def plan(act: Act, saga_id: str, **parameters: Any) -> Preview:
    """What the act would do now; ActRefused if the state does not allow it. Writes nothing."""
    situation = _checked(Act(act), saga_id, None, parameters)
    sentence, calls = PREVIEWS[Act(act)](situation)
    keep = () if act is Act.RETRY and situation.state is SagaState.FAILED else situation.execution.steps_completed
    not_repeated = tuple(name for name in keep if name not in {call.step for call in calls})
    doubt = tuple(planner.in_doubt(situation.history))
    return Preview(Act(act), saga_id, situation.execution.version, sentence, tuple(calls), not_repeated, doubt)


def perform(
    act: Act,
    saga_id: str,
    *,
    reason: str = "",
    by: By = PYTHON,
    version: int | None = None,
    **parameters: Any,
) -> SagaExecution:
    """Do it, once, with a SagaEvent that tells who, why and what changed; what follows is queued for the workers.

    `version`, where given, must still be the execution's. `resolve` takes step, outcome, output and evidence,
    `correct` takes context. Raises ActRefused, UnknownExecution, InvalidInput.
    """
    act = Act(act)
    for _ in range(TRIES):
        situation = _checked(act, saga_id, version, parameters)
        try:
            execution = PERFORMERS[act](situation, by, values.clean_text(reason), **parameters)
        except _Stale:
            continue
        except checkpoints.Unsettled as error:
            raise ActRefused(act, saga_id, f"what follows from it could not be written down: {error}") from error
        log(
            logging.INFO,
            "act.performed",
            act=act,
            saga_id=saga_id,
            saga=execution.saga_name,
            source=by.source,
        )
        return execution
    raise ActRefused(act, saga_id, "it keeps moving; look again and try then")


def _situation(saga_id: str) -> Situation:
    execution = SagaExecution.objects.using(journal.alias()).filter(saga_id=saga_id).first()
    if execution is None:
        raise UnknownExecution(saga_id)
    return Situation(execution, history_of(execution), all_sagas().get(execution.saga_name))


def _checked(act: Act, saga_id: str, version: int | None, parameters: Mapping[str, Any]) -> Situation:
    situation = _situation(saga_id)
    sentence = REFUSALS[act](situation)
    if not sentence and version is not None and situation.execution.version != version:
        sentence = "it has moved since you looked; look again and decide then."
    if not sentence and act is Act.RESOLVE:
        sentence = _why_not_resolve_step(situation, **parameters)
    if sentence:
        raise ActRefused(act, saga_id, sentence, _allowed(situation))
    return situation


def _allowed(situation: Situation) -> tuple[Act, ...]:
    return tuple(act for act, refusal in REFUSALS.items() if not refusal(situation))


# Why an act is not possible, a sentence each; "" = it is.


def _why_not_retry(situation: Situation) -> str:
    if situation.state not in (SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED):
        return f"only a failed saga can be retried, and this one is {_words(situation.state)}."
    return _why_no_definition(situation) or _why_busy(situation)


def _why_not_cancel(situation: Situation) -> str:
    execution = situation.execution
    if situation.state not in (SagaState.PENDING, SagaState.IN_PROGRESS):
        return f"it is {_words(situation.state)}."
    if execution.pivoting:
        return "its point of no return is being passed, or is behind it."
    if execution.wants == "cancel":
        return "it is being cancelled already."
    return _why_no_definition(situation)


def _why_not_compensate(situation: Situation) -> str:
    if situation.state is not SagaState.SUCCEEDED:
        return f"only a finished saga can be undone, and this one is {_words(situation.state)}."
    if missing := _why_no_definition(situation):
        return missing
    if situation.execution.pivoting:
        return "its point of no return is behind it."
    if not _remaining(situation):
        return "none of its steps has an undo."
    return _why_busy(situation)


def _why_not_hold(situation: Situation) -> str:
    if situation.state not in UNFINISHED:
        return f"it is {_words(situation.state)}."
    if situation.execution.held:
        return "it is held already."
    if situation.execution.wants:
        return "it is about to be held or cancelled already."
    return ""


def _why_not_release(situation: Situation) -> str:
    return "" if situation.execution.held else "it is not held."


def _why_not_verify(situation: Situation) -> str:
    if missing := _why_no_definition(situation):
        return missing
    steps = [situation.saga.step(name) for name in planner.in_doubt(situation.history)] if situation.saga else []
    if not any(step and step.verify for step in steps):
        return "no step is in doubt that its provider can be asked about."
    if situation.execution.held and _cause_of_hold(situation) == "operator":
        return "it is held; release it first."
    return _why_busy(situation)


def _why_not_resolve(situation: Situation) -> str:
    if not situation.execution.held and situation.state is not SagaState.PARTIALLY_COMPENSATED:
        return "a step is resolved by hand while the saga is held or partially compensated."
    return _why_no_definition(situation) or _why_busy(situation)


def _why_not_acknowledge(situation: Situation) -> str:
    if situation.state is not SagaState.FAILED:
        return f"only a failed saga can be acknowledged, and this one is {_words(situation.state)}."
    return "" if situation.execution.needs_attention else "it does not need attention."


def _why_not_correct(situation: Situation) -> str:
    if situation.state is not SagaState.FAILED and not _held_before_any_attempt(situation):
        return (
            "input is corrected once the saga has failed, or while it is held before any attempt of its current step."
        )
    return _why_no_definition(situation) or _why_busy(situation)


def _why_busy(situation: Situation) -> str:
    if situation.execution.leased or situation.execution.wants:
        return "a worker has it in hand; wait for it to end."
    return ""


def _why_no_definition(situation: Situation) -> str:
    if situation.saga is None:
        return f"no saga named {situation.execution.saga_name!r} is registered here."
    return ""


def _why_not_resolve_step(
    situation: Situation, step: str, outcome: Resolution | str, output: Any = None, evidence: str = ""
) -> str:
    try:
        resolution = Resolution(outcome)
    except ValueError:
        return f"outcome must be one of {', '.join(Resolution)}, not {outcome!r}."
    if step not in situation.history.plan:
        return f"it has no step {step!r}; its steps are {', '.join(situation.history.plan)}."
    view = planner.views_of(situation.history)[step]
    if resolution is Resolution.UNDONE and not view.to_undo:
        return f"step {step!r} has nothing to be undone."
    rolling = situation.state in (SagaState.COMPENSATING, SagaState.PARTIALLY_COMPENSATED)
    if resolution is Resolution.DONE and not rolling and view.done:
        return f"step {step!r} is done already."
    if rolling and not view.to_undo:
        return f"step {step!r} is closed already."
    return ""


REFUSALS: dict[Act, Callable[[Situation], str]] = {
    Act.RETRY: _why_not_retry,
    Act.CANCEL: _why_not_cancel,
    Act.COMPENSATE: _why_not_compensate,
    Act.HOLD: _why_not_hold,
    Act.RELEASE: _why_not_release,
    Act.VERIFY: _why_not_verify,
    Act.RESOLVE: _why_not_resolve,
    Act.ACKNOWLEDGE: _why_not_acknowledge,
    Act.CORRECT: _why_not_correct,
}


# What an act would do, a sentence and the calls.

Told = tuple[str, list[Call]]


def _preview_retry(situation: Situation) -> Told:
    if situation.state is SagaState.PARTIALLY_COMPENSATED:
        return "Tries again to undo what is not undone.", _undo_calls(_as_retried(situation))
    history = _next_run(situation)
    steps = [Call(name, Direction.ACTION, planner.key_of(history, name, Direction.ACTION)) for name in history.plan]
    return f"Starts run {history.run} from the first step, with new idempotency keys.", steps


def _preview_cancel(situation: Situation) -> Told:
    return "Stops the saga and undoes what was done.", _undo_calls(_rolling(situation))


def _preview_compensate(situation: Situation) -> Told:
    return "Undoes the finished saga, last step first.", _undo_calls(_rolling(situation))


def _preview_hold(situation: Situation) -> Told:
    when = "after the attempt that is running" if situation.execution.leased else "now"
    return f"Parks the saga {when}; nothing is undone and nothing goes on until it is released.", []


def _preview_release(situation: Situation) -> Told:
    saga, history = situation.saga, situation.history
    move = planner.next_move(saga, history, planner.FOREVER) if saga else None
    calls = [Call(move.step.name, move.direction, move.key)] if isinstance(move, Attempt) else []
    return (
        "Goes on from where it stands, with a fresh budget of retries and the same idempotency keys.",
        calls,
    )


def _preview_verify(situation: Situation) -> Told:
    key = planner.key_of
    names = planner.in_doubt(situation.history)
    steps = [step for step in situation.saga or () if step.verify and step.name in names]
    calls = [Call(s.name, Direction.VERIFY, key(situation.history, s.name, Direction.VERIFY)) for s in steps]
    return "Asks the providers what really happened; changes nothing there.", calls


def _preview_resolve(situation: Situation) -> Told:
    return "Puts down, with your evidence, what has become of the step; no provider is called for it.", []


def _preview_acknowledge(situation: Situation) -> Told:
    return "Takes the saga off the list of those that need attention; nothing else changes.", []


def _preview_correct(situation: Situation) -> Told:
    when = "the next run" if situation.state is SagaState.FAILED else "its release"
    return f"Replaces the input; it takes effect with {when}.", []


PREVIEWS: dict[Act, Callable[[Situation], Told]] = {
    Act.RETRY: _preview_retry,
    Act.CANCEL: _preview_cancel,
    Act.COMPENSATE: _preview_compensate,
    Act.HOLD: _preview_hold,
    Act.RELEASE: _preview_release,
    Act.VERIFY: _preview_verify,
    Act.RESOLVE: _preview_resolve,
    Act.ACKNOWLEDGE: _preview_acknowledge,
    Act.CORRECT: _preview_correct,
}


# Doing it. Each is one guarded UPDATE; no row = somebody was quicker, and all is looked at anew.


def _retry(situation: Situation, by: By, reason: str) -> SagaExecution:
    execution, version = situation.execution, situation.execution.version + 1
    if situation.state is SagaState.PARTIALLY_COMPENSATED:
        again = state_after(situation.state, SagaEventKind.RETRY_UNDO)
        changes = {
            "state": again,
            "budget_since": version,
            "keys_since": version,
            **_going_on(situation.execution),
        }
        return _move(situation, Act.RETRY, by, reason, **changes)
    history = _next_run(situation)
    fresh = {
        "state": state_after(situation.state, SagaEventKind.RETRY),
        "run": history.run,
        "context": execution.input,
        "plan": list(history.plan),
        "steps_completed": [],
        "failed_step": "",
        "compensation_performed": False,
        "started_at": None,
        "budget_since": version,
        "keys_since": version,
        "begun": False,
        "pivoting": False,
    }
    return _move(situation, Act.RETRY, by, reason, **fresh, **_going_on(situation.execution))


def _cancel(situation: Situation, by: By, reason: str) -> SagaExecution:
    if situation.execution.leased:
        return _request(situation, Act.CANCEL, by, reason, Q(wants=None) | Q(wants="hold"))
    if situation.state is SagaState.PENDING:
        failed = state_after(situation.state, SagaEventKind.CANCEL)
        return _move(situation, Act.CANCEL, by, reason, state=failed, **_ended())
    if _remaining(_rolling(situation)):
        rolling = state_after(situation.state, SagaEventKind.ROLL_BACK)
        return _move(situation, Act.CANCEL, by, reason, state=rolling, **_going_on(situation.execution))
    return _move(situation, Act.CANCEL, by, reason, state=state_after(situation.state, SagaEventKind.FAIL), **_ended())


def _compensate(situation: Situation, by: By, reason: str) -> SagaExecution:
    state = state_after(situation.state, SagaEventKind.COMPENSATE)
    budget = {"budget_since": situation.execution.version + 1}
    return _move(situation, Act.COMPENSATE, by, reason, state=state, **budget, **_going_on(situation.execution))


def _hold(situation: Situation, by: By, reason: str) -> SagaExecution:
    if situation.execution.leased:
        return _request(situation, Act.HOLD, by, reason, Q(wants=None))
    held = f"Held by {by.told_name or 'an operator'}: {reason}"
    told = {"held": held, "cause": "operator"}
    return _move(situation, Act.HOLD, by, reason, told, held=held, needs_attention=True, due_at=None, rank_at=None)


def _release(situation: Situation, by: By, reason: str) -> SagaExecution:
    fresh: dict[str, Any] = {}
    if _cause_of_hold(situation) != "on_change":
        fresh["budget_since"] = situation.execution.version + 1
    return _move(situation, Act.RELEASE, by, reason, **fresh, **_going_on(situation.execution))


def _verify(situation: Situation, by: By, reason: str) -> SagaExecution:
    attention = {"needs_attention": situation.execution.needs_attention}
    return _move(situation, Act.VERIFY, by, reason, wants="verify", held="", **_due(situation.execution), **attention)


def _resolve(
    situation: Situation,
    by: By,
    reason: str,
    *,
    step: str,
    outcome: Resolution | str,
    output: Any = None,
    evidence: str = "",
) -> SagaExecution:
    run, context = _resolution(situation, by, reason, step, Resolution(outcome), output)
    assert situation.saga is not None
    history = situation.history.with_record(record_of(run))
    data = {"step": step, "outcome": run.resolution, "evidence": values.clean_text(evidence)}
    changes = {
        "steps_completed": planner.steps_completed(history),
        "context": context,
        "pivoting": checkpoints.pivot_in_play(situation.saga, history),
        **_after_resolution(situation, history),
    }
    return _move(situation, Act.RESOLVE, by, reason, data, run=run, **changes)


def _resolution(
    situation: Situation, by: By, reason: str, step: str, resolution: Resolution, output: Any
) -> tuple[StepRun, dict[str, Any]]:
    """The step run of a person's word, and the context with the output it brings."""
    execution, now = situation.execution, timezone.now()
    limit = get_settings().MAX_CONTEXT_BYTES
    if output is not None and (not isinstance(output, Mapping) or resolution is not Resolution.DONE):
        raise InvalidInput({"output": "must be a mapping, and goes with the outcome done"})
    stored = json.loads(values.to_json(output, limit=limit)) if output is not None else None
    context = json.loads(values.to_json(execution.context | (stored or {}), limit=limit))
    direction = Direction.COMPENSATION if resolution is Resolution.UNDONE else Direction.ACTION
    former = sum(r.step == step and r.direction is Direction.RESOLVED for r in situation.history.records)
    run = StepRun(
        id=time_ordered_uuid(),
        execution_id=execution.pk,
        step=step,
        direction=Direction.RESOLVED.value,
        run=execution.run,
        attempt=former + 1,
        outcome=(Outcome.FAILED if resolution is Resolution.NOT_DONE else Outcome.SUCCEEDED).value,
        output=stored,
        changes=values.changes_between(execution.context, context),
        idempotency_key=planner.key_of(situation.history, step, direction),
        started_at=now,
        finished_at=now,
        worker=worker_name(),
        sequence=execution.version + 1,
        resolution=resolution.value,
    )
    return run, context


def _after_resolution(situation: Situation, history: History) -> dict[str, Any]:
    """What the person's word makes of the execution: ended, going on, or still waiting for a person."""
    assert situation.saga is not None
    if situation.state is SagaState.PARTIALLY_COMPENSATED:
        if planner.remaining(situation.saga, history):
            return {}
        return {"state": state_after(situation.state, SagaEventKind.RESOLVE), **_ended()}
    if _cause_of_hold(situation) != "engine":
        return {}
    move = planner.next_move(situation.saga, history, timezone.now())
    if isinstance(move, Hold):
        return {"held": move.reason}
    if isinstance(move, RollBack):
        rolling = state_after(situation.state, SagaEventKind.ROLL_BACK)
        return {"state": rolling, "failed_step": move.failed_step, **_going_on(situation.execution)}
    return _going_on(situation.execution)


def _acknowledge(situation: Situation, by: By, reason: str) -> SagaExecution:
    return _move(situation, Act.ACKNOWLEDGE, by, reason, needs_attention=False)


def _correct(situation: Situation, by: By, reason: str, *, context: Mapping[str, Any]) -> SagaExecution:
    assert situation.saga is not None
    execution = situation.execution
    corrected = json.loads(starting.input_text(situation.saga, context))
    changes = values.changes_between(execution.input, corrected)
    fields: dict[str, Any] = {"input": corrected}
    if situation.state is not SagaState.FAILED:
        fields["context"] = values.apply_changes(execution.context, changes)
    keys = [key for key in situation.saga.references if key in changes.get("set", {})]
    moved = _move(situation, Act.CORRECT, by, reason, {"changes": changes}, **fields)
    journal.file_references(moved, keys, corrected)
    return moved


PERFORMERS: dict[Act, Callable[..., SagaExecution]] = {
    Act.RETRY: _retry,
    Act.CANCEL: _cancel,
    Act.COMPENSATE: _compensate,
    Act.HOLD: _hold,
    Act.RELEASE: _release,
    Act.VERIFY: _verify,
    Act.RESOLVE: _resolve,
    Act.ACKNOWLEDGE: _acknowledge,
    Act.CORRECT: _correct,
}


def _request(situation: Situation, act: Act, by: By, reason: str, unless: Q) -> SagaExecution:
    """Ask the owner of a leased row; its next checkpoint obeys. The version stays, so the owner loses nothing."""
    rows = SagaExecution.objects.using(journal.alias()).filter(unless, pk=situation.execution.pk, leased=True)
    if act is Act.CANCEL:
        rows = rows.filter(state=SagaState.IN_PROGRESS, pivoting=False)
    else:
        rows = rows.filter(state__in=UNFINISHED)
    with journal.one_commit():
        if not rows.update(wants=act.value):
            raise _Stale
        situation.execution.refresh_from_db(using=journal.alias())
        _tell(situation, act, by, reason, {"requested": True})
    return situation.execution


def _move(
    situation: Situation,
    act: Act,
    by: By,
    reason: str,
    data: Mapping[str, Any] | None = None,
    run: StepRun | None = None,
    **fields: Any,
) -> SagaExecution:
    """Change a row that nobody has in hand, with its event, in one commit."""
    execution, old = situation.execution, situation.state
    mine = SagaExecution.objects.using(journal.alias()).filter(pk=execution.pk, version=execution.version, leased=False)
    with journal.one_commit():
        if not mine.update(version=execution.version + 1, **fields):
            raise _Stale
        execution.refresh_from_db(using=journal.alias())
        if run:
            run.save(using=journal.alias(), force_insert=True)
        told = {name: fields[name] for name in ("run", "plan", "failed_step", "held") if name in fields}
        _tell(situation, act, by, reason, {"from": old, "to": execution.state, **told, **(data or {})})
        on_change = situation.saga.on_change if situation.saga else None
        if on_change and old is not execution.state and {old, execution.state} & TERMINAL:
            checkpoints.announce(on_change, execution, old)
    return execution


def _tell(situation: Situation, act: Act, by: By, reason: str, data: Mapping[str, Any]) -> None:
    SagaEvent.objects.using(journal.alias()).create(
        execution=situation.execution,
        kind=SagaEvent.Kind(act.value),
        actor=by.user,
        actor_name=by.told_name,
        source=by.source,
        reason=reason,
        version=situation.execution.version,
        run=situation.execution.run,
        data=dict(data),
    )


def _going_on(execution: SagaExecution) -> dict[str, Any]:
    """Columns of an execution that goes on at once."""
    unheld = {"held": "", "needs_attention": False, "finished_at": None, "recoveries": 0, "wants": None}
    return unheld | _due(execution)


def _due(execution: SagaExecution) -> dict[str, Any]:
    ageing = dt.timedelta(seconds=get_settings().AGEING * execution.priority)
    return {"due_at": Now(), "rank_at": timezone.now() - ageing}


def _ended() -> dict[str, Any]:
    """Columns of an execution that an act has ended; nobody needs to look at what a person decided."""
    unheld = {"held": "", "needs_attention": False, "wants": None}
    return unheld | {"due_at": None, "rank_at": None, "finished_at": Now()}


def _remaining(situation: Situation) -> list[str]:
    return planner.remaining(situation.saga, situation.history) if situation.saga else []


def _rolling(situation: Situation) -> Situation:
    history = planner.roll_back(situation.history, "")
    return Situation(situation.execution, history, situation.saga)


def _as_retried(situation: Situation) -> Situation:
    version = situation.execution.version + 1
    history = planner.retried(situation.history, version)
    return Situation(situation.execution, history, situation.saga)


def _undo_calls(situation: Situation) -> list[Call]:
    names = _remaining(situation)
    key = planner.key_of
    return [Call(n, Direction.COMPENSATION, key(situation.history, n, Direction.COMPENSATION)) for n in names]


def _next_run(situation: Situation) -> History:
    """An empty history for the run after this one, with today's steps."""
    plan = situation.saga.names if situation.saga else situation.history.plan
    return History(situation.history.saga_id, situation.history.run + 1, SagaState.PENDING, plan)


def _held_before_any_attempt(situation: Situation) -> bool:
    if not situation.execution.held or situation.saga is None or situation.state is not SagaState.IN_PROGRESS:
        return False
    attempt = planner.in_flight(situation.saga, situation.history)
    return attempt is not None and attempt.direction is Direction.ACTION and attempt.number == 1


def _cause_of_hold(situation: Situation) -> str:
    """Who held it: operator, engine or on_change."""
    kinds = [SagaEvent.Kind.HELD, SagaEvent.Kind.HOLD]
    events = situation.execution.events.using(journal.alias()).filter(kind__in=kinds).order_by("-id")
    return next((event.data["cause"] for event in events[:10] if "cause" in event.data), "operator")


def _words(state: SagaState) -> str:
    return state.value.replace("_", " ")
