"""Doing it: each act is one guarded UPDATE; no row = somebody was quicker, and all is looked at anew."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext

from sagas import checkpoints, database, histories, journal, planner, starting, values
from sagas.clock import CLOCK
from sagas.conf import get_settings
from sagas.definition import Saga
from sagas.exceptions import InvalidInput, UnknownSaga
from sagas.histories import History
from sagas.models import SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from sagas.planner import Hold, RollBack
from sagas.registry import all_sagas
from sagas.states import TERMINAL, UNFINISHED, Direction, Outcome, Resolution, SagaEventKind, SagaState, state_after
from sagas.tenure import record_of, worker_name

from .previews import move_after_word, next_run, released
from .situation import Act, By, Situation

TOLD = ("run", "plan", "failed_step", "held")


class Stale(Exception):
    """The row moved between the look and the write."""


def _retry(situation: Situation, by: By, reason: str) -> SagaExecution:
    execution, version = situation.execution, situation.execution.version + 1
    if situation.state is SagaState.PARTIALLY_COMPENSATED:
        again = state_after(situation.state, SagaEventKind.RETRY_UNDO)
        since = {"budget_since": version, "keys_since": version}
        return _move(situation, Act.RETRY, by, reason, {"state": again, **since, **_going_on(execution)})
    history = next_run(situation)
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
        "begun": planner.mark_to_come(defined(situation), history),
        "pivoting": False,
    }
    return _move(situation, Act.RETRY, by, reason, fresh | _going_on(execution))


def _cancel(situation: Situation, by: By, reason: str) -> SagaExecution:
    if situation.execution.leased:
        return _request(situation, Act.CANCEL, by, reason, Q(wants=None) | Q(wants__in=["hold", "verify"]))
    if situation.state is SagaState.PENDING:
        failed = state_after(situation.state, SagaEventKind.CANCEL)
        return _move(situation, Act.CANCEL, by, reason, {"state": failed, **_ended()})
    if situation.rolling().remaining:
        rolling = state_after(situation.state, SagaEventKind.ROLL_BACK)
        return _move(situation, Act.CANCEL, by, reason, {"state": rolling, **_going_on(situation.execution)})
    failed = state_after(situation.state, SagaEventKind.FAIL)
    return _move(situation, Act.CANCEL, by, reason, {"state": failed, **_ended()})


def _compensate(situation: Situation, by: By, reason: str) -> SagaExecution:
    state = state_after(situation.state, SagaEventKind.COMPENSATE)
    fields = {"state": state, "budget_since": situation.execution.version + 1}
    return _move(situation, Act.COMPENSATE, by, reason, fields | _going_on(situation.execution))


def _hold(situation: Situation, by: By, reason: str) -> SagaExecution:
    if situation.execution.leased:
        return _request(situation, Act.HOLD, by, reason, Q(wants=None) | Q(wants="verify"))
    held = _held_by(by, reason)
    told = {"held": held, "cause": "operator"}
    fields = {"held": held, "needs_attention": True, "due_at": None, "rank_at": None}
    return _move(situation, Act.HOLD, by, reason, fields, told)


def _held_by(by: By, reason: str) -> str:
    if by.told_name:
        return gettext("Held by %(name)s: %(reason)s") % {"name": by.told_name, "reason": reason}
    return gettext("Held by an operator: %(reason)s") % {"reason": reason}


def _release(situation: Situation, by: By, reason: str) -> SagaExecution:
    history = released(situation)
    fresh: dict[str, Any] = {"budget_since": history.budget_since}
    if situation.saga and not situation.execution.leased:
        fresh["begun"] = planner.mark_to_come(situation.saga, history)
    return _move(situation, Act.RELEASE, by, reason, fresh | _going_on(situation.execution))


def _verify(situation: Situation, by: By, reason: str) -> SagaExecution:
    return _move(situation, Act.VERIFY, by, reason, {"wants": "verify", "held": "", **_due(situation.execution)})


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
    run, context = _resolution(situation, step, Resolution(outcome), output)
    saga = defined(situation)
    history = situation.history.with_record(record_of(run))
    data = {"step": step, "outcome": run.resolution, "evidence": values.clean_text(evidence)}
    changes = {
        "steps_completed": histories.steps_completed(history),
        "context": context,
        "pivoting": checkpoints.pivot_in_play(saga, history),
        **_after_resolution(situation, history),
    }
    return _move(situation, Act.RESOLVE, by, reason, changes, data, run)


def _resolution(situation: Situation, step: str, resolution: Resolution, output: Any) -> tuple[StepRun, dict[str, Any]]:
    """The step run of a person's word, and the context with the output it brings."""
    execution, now = situation.execution, CLOCK.by_host()
    limit = get_settings().MAX_CONTEXT_BYTES
    if output is not None and (not isinstance(output, Mapping) or resolution is not Resolution.DONE):
        raise InvalidInput({"output": gettext("must be a mapping, and goes with the outcome done")})
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
        idempotency_key=histories.key_of(situation.history, step, direction),
        started_at=now,
        finished_at=now,
        worker=worker_name(),
        sequence=execution.version + 1,
        resolution=resolution.value,
    )
    return run, context


def _after_resolution(situation: Situation, history: History) -> dict[str, Any]:
    """What the person's word makes of the execution: ended, going on, or still waiting for a person."""
    saga = defined(situation)
    if situation.state is SagaState.PARTIALLY_COMPENSATED:
        if planner.remaining(saga, history):
            return {}
        return {"state": state_after(situation.state, SagaEventKind.RESOLVE), **_ended()}
    move = move_after_word(situation, history)
    if move is None:
        return {}
    if isinstance(move, Hold):
        return {"held": move.reason}
    if isinstance(move, RollBack):
        rolling = state_after(situation.state, SagaEventKind.ROLL_BACK)
        return {"state": rolling, "failed_step": move.failed_step, **_going_on(situation.execution)}
    return {"begun": planner.mark_to_come(saga, history), **_going_on(situation.execution)}


def _acknowledge(situation: Situation, by: By, reason: str) -> SagaExecution:
    return _move(situation, Act.ACKNOWLEDGE, by, reason, {"needs_attention": False})


def _correct(situation: Situation, by: By, reason: str, *, context: Mapping[str, Any]) -> SagaExecution:
    execution, saga = situation.execution, defined(situation)
    corrected = json.loads(starting.input_text(saga, context))
    changes = values.changes_between(execution.input, corrected)
    former = values.changes_between(corrected, execution.input)
    fields: dict[str, Any] = {"input": corrected}
    if situation.state is not SagaState.FAILED:
        fields["context"] = values.apply_changes(execution.context, changes)
    return _move(situation, Act.CORRECT, by, reason, fields, {"changes": changes, "former": former})


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
    rows = SagaExecution.objects.using(database.alias()).filter(unless, pk=situation.execution.pk, leased=True)
    if situation.bound:
        rows = rows.filter(version=situation.execution.version)
    if act is Act.CANCEL:
        rows = rows.filter(state=SagaState.IN_PROGRESS, pivoting=False)
    else:
        rows = rows.filter(state__in=UNFINISHED)
    with database.one_commit():
        if not rows.update(wants=act.value):
            raise Stale
        situation.execution.refresh_from_db(using=database.alias())
        _tell(situation, act, by, reason, {"requested": True})
    return situation.execution


def _move(
    situation: Situation,
    act: Act,
    by: By,
    reason: str,
    fields: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    run: StepRun | None = None,
) -> SagaExecution:
    """Change a row that nobody has in hand, with its event, in one commit."""
    execution, old = situation.execution, situation.state
    # A held row that is leased is nobody's: its last owner died, and whoever goes on puts down what it was about.
    mine = SagaExecution.objects.using(database.alias()).filter(
        Q(leased=False) | ~Q(held=""), pk=execution.pk, version=execution.version
    )
    with database.one_commit():
        if not mine.update(version=execution.version + 1, **fields):
            raise Stale
        execution.refresh_from_db(using=database.alias())
        if run:
            run.save(using=database.alias(), force_insert=True)
        if new := [
            key for key in situation.references if key in fields.get("input", {}) or key in fields.get("context", {})
        ]:
            journal.file_references(execution, new, execution.context | fields.get("input", {}))
        if fields.get("due_at") is not None:
            journal.wake_workers()
        told: dict[str, Any] = {name: fields[name] for name in TOLD if name in fields}
        _tell(situation, act, by, reason, {"from": old, "to": execution.state} | told | dict(data or {}))
        saga = situation.saga
        if saga and saga.on_change and old is not execution.state and {old, execution.state} & TERMINAL:
            checkpoints.announce(saga, execution, old)
    return execution


def _tell(situation: Situation, act: Act, by: By, reason: str, data: Mapping[str, Any]) -> None:
    SagaEvent.objects.using(database.alias()).create(
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
    return {"due_at": CLOCK.now(), "rank_at": CLOCK.now() - ageing}


def _ended() -> dict[str, Any]:
    """Columns of an execution that an act has ended; nobody needs to look at what a person decided."""
    unheld = {"held": "", "needs_attention": False, "wants": None}
    return unheld | {"due_at": None, "rank_at": None, "finished_at": CLOCK.now()}


def defined(situation: Situation) -> Saga:
    """The saga's definition; acts that need one are refused without it."""
    if situation.saga is None:
        raise UnknownSaga(situation.execution.saga_name, all_sagas())
    return situation.saga
