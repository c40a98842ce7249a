"""Proves a saga: it is run into each of its outcomes, killed at each moment on the way there, and looked at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sagas.definition.exceptions import OutcomeUnknown, StepFailed
from sagas.definition.saga import Saga, SagaStep, StepCall, StepContext
from sagas.definition.states import Direction
from sagas.models import SagaExecution

from .calls import Tell
from .children import ChildFailed
from .crash_points import Context, CrashPoints, Outside, Trial
from .invariants import Effect
from .witness import BEGUN, CALLED, RAISED, Note, Witness

A_KEY = re.compile(r"'[^']*'")


@dataclass(frozen=True)
class Scenario:
    """A way for the saga to go; with `crashes`, its process is killed at each moment of it."""

    name: str
    saga: Saga
    crashes: bool = True


@dataclass
class Shown:
    """What a scenario has shown: how many crash points it had, how its executions ended, and what is wrong."""

    scenario: str
    points: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def scenarios(saga: Saga) -> Iterator[Scenario]:
    """Success; each action refused; each undo refused; each reply lost once, and for good."""
    yield Scenario("all goes well", saga)
    for step in saga:
        yield Scenario(f"{step.name} is refused", _changed(saga, step, action=_refuse))
    for step in saga:
        if step.compensation:
            yield Scenario(f"the undo of {step.name} is refused", _undo_refused(saga, step))
    for step in saga:
        if not step.transactional:
            lost_once = partial(_lose_the_reply, step.action, 1)
            yield Scenario(f"a reply to {step.name} is lost", _changed(saga, step, action=lost_once), crashes=False)
            lost = partial(_lose_the_reply, step.action, None)
            yield Scenario(f"no reply to {step.name} comes", _changed(saga, step, action=lost), crashes=False)


def prove(saga: Saga, context: Context, world: Outside, notes: Path) -> Iterator[Shown]:
    """What each scenario shows, one after the other; `notes` is a file for what the steps are seen to do."""
    witness = Witness(notes)
    for scenario in scenarios(saga):
        yield _shown(scenario, context, world, witness)


class Nowhere:
    """A world of which nothing is known: only the tables of sagas are looked at."""

    def watch(self, tell: Tell) -> None:
        """Nothing to tell of."""

    def effects(self, execution: SagaExecution) -> Mapping[str, Effect]:
        """No step had anything due."""
        return {name: Effect(due=False) for name in execution.plan}


def _shown(scenario: Scenario, context: Context, world: Outside, witness: Witness) -> Shown:
    shown, before = Shown(scenario.name), len(getattr(world, "objections", ()))
    points = CrashPoints(witness.watched(scenario.saga), context, world, hear=witness.hear)
    try:
        undisturbed, passed = points.undisturbed()
        trials = (
            [points.trial(number, where=where) for number, where in enumerate(passed, 1)] if scenario.crashes else []
        )
    except ChildFailed as failure:
        shown.violations.append(str(failure))
        return shown
    shown.points = len(trials)
    shown.violations += _objections(world, before)
    for trial in (undisturbed, *trials):
        shown.outcomes[trial.state.value] += 1
        for sentence in _sentences(trial, undisturbed, witness):
            if _gist(sentence) not in map(_gist, shown.violations):
                shown.violations.append(sentence)
    return shown


def _gist(sentence: str) -> str:
    """Without the place of the crash: one is enough."""
    return sentence.partition(" called again after a crash ")[0]


def _objections(world: Outside, before: int) -> list[str]:
    """What was done to a world that objects; for two executions it may be the same but for their keys."""
    new = list(getattr(world, "objections", ()))[before:]
    return list(dict.fromkeys(f"The world objects: {A_KEY.sub('…', sentence)}." for sentence in new))


def _sentences(trial: Trial, undisturbed: Trial, witness: Witness) -> Iterator[str]:
    """What is wrong with the trial: flaws by their names where they can be seen, then the invariants it broke."""
    notes = witness.notes(trial.saga_id)
    yield from _flaws(notes)
    if trial is not undisturbed and (trial.state is not undisturbed.state or _new(trial, undisturbed)):
        yield from _not_idempotent(trial, undisturbed, notes, witness.notes(undisturbed.saga_id))
    yield from trial.violations


def _flaws(notes: Sequence[Note]) -> Iterator[str]:
    """What no step may do, whether or not it did harm this time."""
    for note in filter(_is_flaw, notes):
        if note.in_transaction:
            yield f"The {note.function} calls {note.operation} inside an open transaction, which cannot take it back."
        if not note.own_key:
            yield (
                f"The {note.function} calls {note.operation} without its idempotency key: an attempt that is repeated "
                "has its effect twice."
            )
    for note, operation in _raised_after_effect(notes):
        yield (
            f"The {note.function} raises {note.error_type} after {operation} took effect, which counts as 'it did not "
            "happen': raise OutcomeUnknown."
        )


def _is_flaw(note: Note) -> bool:
    return note.what == CALLED and (note.in_transaction or not note.own_key)


def _raised_after_effect(notes: Sequence[Note]) -> Iterator[tuple[Note, str]]:
    operation = ""
    for note in notes:
        if note.what == BEGUN:
            operation = ""
        if note.moment == "after":
            operation = note.operation
        if note.what == RAISED and note.taken_for_failed and operation and note.direction == Direction.ACTION:
            yield note, operation


def _not_idempotent(trial: Trial, undisturbed: Trial, notes: Sequence[Note], usual: Sequence[Note]) -> Iterator[str]:
    """The functions that were called more often than without the crash."""
    calls, usually = (Counter(note.function for note in some if note.what == BEGUN) for some in (notes, usual))
    ended = f"ended {trial.state.value} instead of {undisturbed.state.value}"
    harm = ended if trial.state is not undisturbed.state else "; ".join(_new(trial, undisturbed))
    flawed = {note.function for note in notes if _is_flaw(note)} | {
        note.function for note, _ in _raised_after_effect(notes)
    }
    for function, count in calls.items():
        if 0 < usually[function] < count and function not in flawed:
            yield (
                f"The {function} is not idempotent: called again after a crash ({_plain(trial.where)}), "
                f"the saga {harm}."
            )


def _new(trial: Trial, undisturbed: Trial) -> list[str]:
    return [violation for violation in trial.violations if violation not in undisturbed.violations]


def _plain(where: str) -> str:
    """The boundary without the execution's own key."""
    return " ".join(where.split()[:2])


def _changed(saga: Saga, changed: SagaStep, **changes: StepCall) -> Saga:
    return saga.with_steps(replace(step, **changes) if step is changed else step for step in saga)  # type: ignore[arg-type]


def _undo_refused(saga: Saga, undo: SagaStep) -> Saga:
    """A later step fails, so that there is something to undo; where there is none, the step itself stays in doubt."""
    refused = _changed(saga, undo, compensation=_refuse)
    place = saga.names.index(undo.name)
    later = [step for step in refused[place + 1 :] if not step.optional]
    if later:
        return _changed(refused, later[-1], action=_refuse)
    return _changed(refused, refused[place], action=partial(_lose_the_reply, undo.action, None))


def _refuse(_: StepContext) -> Any:
    raise StepFailed("refused, to see what happens")


def _lose_the_reply(action: StepCall, attempts: int | None, context: StepContext) -> Any:
    """Call the action and forget what it returned, in its first attempts or in all of them."""
    returned = action(context)
    if attempts is not None and context.attempt > attempts:
        return returned
    raise OutcomeUnknown("the reply was lost, to see what happens")
