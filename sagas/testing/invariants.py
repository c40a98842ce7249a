"""The invariants of an execution, asserted from the outside world's ledger and the saga tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Outcome, SagaState
from sagas.engine import history, planner
from sagas.engine.replay import replay
from sagas.models import SagaExecution, StepRun
from sagas.monitoring import audit
from sagas.presentation.execution_view import ExecutionView
from sagas.storage import database


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
    """An execution with its history, its definition and what the world knows of its steps."""

    saga: Saga
    view: ExecutionView
    effects: Mapping[str, Effect]

    @property
    def runs(self) -> Sequence[StepRun]:
        """The step runs of the current run."""
        return self.view.current_step_runs

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
    key = SagaExecution.objects.using(database.alias()).values_list("pk", flat=True).get(saga_id=saga_id)
    [view] = audit.load_whole([key])
    found = audit.violations_of(saga, view)
    if effects is not None:
        case = Case(saga, view, effects)
        found += [*_undone_once(case), *WORLD.get(view.execution.state, _nothing)(case)]
    return found


def _succeeded(case: Case) -> Iterator[str]:
    """I1: each effect exactly once, an optional one's at most once, and no undo."""
    for name in case.view.execution.plan:
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
    replayed = replay(case.saga, case.view.execution, case.runs, case.view.current_events)
    reported = set(planner.remaining(case.saga, replayed.history))
    known = reported - set(history.in_doubt(replayed.history))
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
