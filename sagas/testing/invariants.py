"""The invariants of an execution, asserted from the outside world's ledger and the saga tables (I1 to I6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sagas import database, histories, planner
from sagas.definition import Saga
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.states import Direction, Outcome, SagaState

from .folding import fold, started


@dataclass(frozen=True)
class Effect:
    """What the outside world knows of one step in the current run.

    `done` and `undone` count how often the action and the undo took effect, `stands` says whether the effect is
    there now. A step that `repeats` is a mail or a message: nobody can take it back or tell two of them apart,
    and its undo is another one. One that is not `due` had nothing to do.
    """

    done: int = 0
    undone: int = 0
    stands: bool = False
    repeats: bool = False
    due: bool = True


@dataclass(frozen=True)
class Case:
    """An execution with its rows, its definition and what the world knows of its steps."""

    saga: Saga
    execution: SagaExecution
    runs: Sequence[StepRun]
    events: Sequence[SagaEvent]
    effects: Mapping[str, Effect]

    def doubts(self, step: str, direction: Direction) -> int:
        """How many attempts of the step ended in doubt."""
        outcomes = [run.outcome for run in self.runs if (run.step, run.direction) == (step, direction)]
        return outcomes.count(Outcome.UNCERTAIN)

    @property
    def by_hand(self) -> set[str]:
        """The steps that a person has resolved: their effects are that person's word."""
        return {run.step for run in self.runs if run.direction == Direction.RESOLVED}


def violations_of(saga: Saga, saga_id: str, effects: Mapping[str, Effect] | None = None) -> list[str]:
    """What is wrong with the execution, a sentence each, empty when all is well.

    `effects`, by step name, is what the outside world knows; without it only the saga tables are checked.
    The execution must not be running meanwhile.
    """
    case = _case(saga, saga_id, effects or {})
    found = [*_order_of_versions(case), *_fold(case), *_order_of_undos(case)]
    if effects is not None:
        found += [*_undone_once(case), *WORLD.get(case.execution.state, _nothing)(case)]
    return found


def _case(saga: Saga, saga_id: str, effects: Mapping[str, Effect]) -> Case:
    execution = SagaExecution.objects.using(database.alias()).get(saga_id=saga_id)
    runs = list(execution.step_executions.using(database.alias()))
    events = list(execution.events.using(database.alias()).filter(run=execution.run).order_by("id"))
    return Case(saga, execution, runs, events, effects)


def _succeeded(case: Case) -> Iterator[str]:
    """I1: each effect exactly once, an optional one's at most once, and no undo."""
    for name in case.execution.plan:
        effect, step = case.effects.get(name, Effect()), case.saga.step(name)
        least = 1 if effect.due and not (step and step.optional) else 0
        most = int(effect.due) + (case.doubts(name, Direction.ACTION) if effect.repeats else 0)
        if name not in case.by_hand and not least <= effect.done <= most:
            yield f"I1: {name} took effect {effect.done} times, not {least} to {most} times"
        if effect.undone:
            yield f"I1: {name} was undone {effect.undone} times, although the saga succeeded"


def _failed(case: Case) -> Iterator[str]:
    """I2: nothing remains that can be undone, and no apology was sent for what never happened (trap 22)."""
    for step in case.saga:
        effect = case.effects.get(step.name, Effect())
        if not step.compensation or step.name in case.by_hand:
            continue
        if effect.stands:
            yield f"I2: the effect of {step.name} remains"
        if effect.repeats and effect.undone and not effect.done and not case.doubts(step.name, Direction.ACTION):
            yield f"I2: {step.name} never happened, and yet it was undone"


def _partially_compensated(case: Case) -> Iterator[str]:
    """I3: what is reported as remaining remains, and nothing else does."""
    folded = fold(case.saga, case.execution, case.runs, case.events)
    reported = set(planner.remaining(case.saga, folded.history))
    known = reported - set(histories.in_doubt(folded.history))
    for step in case.saga:
        effect = case.effects.get(step.name, Effect())
        if not step.compensation or step.name in case.by_hand:
            continue
        if effect.stands and step.name not in reported:
            yield f"I3: the effect of {step.name} remains, which is not reported"
        if step.name in known and not effect.stands and not case.doubts(step.name, Direction.COMPENSATION):
            yield f"I3: {step.name} is reported as remaining, which it does not"


def _nothing(_: Case) -> Iterator[str]:
    return iter(())


WORLD = {
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}


def _undone_once(case: Case) -> Iterator[str]:
    """I5: each undo takes effect at most once; a message once more for each undo in doubt."""
    for name, effect in case.effects.items():
        most = 1 + (case.doubts(name, Direction.COMPENSATION) if effect.repeats else 0)
        if effect.undone > most:
            yield f"I5: {name} was undone {effect.undone} times"


def _order_of_undos(case: Case) -> Iterator[str]:
    """I5: first attempts of compensations go in strict reverse order."""
    firsts = list(dict.fromkeys(run.step for run in case.runs if run.direction == Direction.COMPENSATION))
    places = [list(case.execution.plan).index(name) for name in firsts]
    if any(before <= after for before, after in pairwise(places)):
        yield f"I5: the undos began in the order {', '.join(firsts)}"


def _order_of_versions(case: Case) -> Iterator[str]:
    """I6: versions and sequences strictly increase, and so do the attempts of each step."""
    sequences = [run.sequence for run in case.runs]
    if any(before >= after for before, after in pairwise(sequences)):
        yield f"I6: the sequences {sequences} do not strictly increase"
    if any(before > after for before, after in pairwise([event.version for event in case.events])):
        yield f"I6: the events' versions {[event.version for event in case.events]} go back"
    last = max([*sequences, *(event.version for event in case.events)], default=0)
    if last > case.execution.version:
        yield f"I6: the history has version {last}, the row only {case.execution.version}"
    for key in dict.fromkeys((run.step, run.direction) for run in case.runs):
        attempts = [run.attempt for run in case.runs if (run.step, run.direction) == key]
        if attempts != list(range(1, len(attempts) + 1)):
            yield f"I6: the attempts of {key[0]} ({key[1]}) are numbered {attempts}"


def _fold(case: Case) -> Iterator[str]:
    """I4 and I6: folding the history gives the row."""
    folded = fold(case.saga, case.execution, case.runs, case.events)
    yield from folded.objections
    for column, value in folded.columns.items():
        stored: Any = getattr(case.execution, column)
        stored = started(stored) if column == "state" else stored
        if stored != value:
            yield f"I6: the history gives {column} {value!r}, the row has {stored!r}"
    stored, context = case.execution.context, folded.context
    differing = [key for key in {*stored, *context} if stored.get(key) != context.get(key)]
    if differing:
        yield f"I6: the history gives other values of {sorted(differing)} than the row's context"
