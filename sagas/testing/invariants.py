"""Check the invariants of an execution, from its tables and from the effects at its providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Outcome, SagaState
from sagas.engine import history, planner
from sagas.engine.replay import replay
from sagas.models import SagaExecution
from sagas.monitoring import audit
from sagas.presentation.execution_view import ExecutionView
from sagas.storage import database

from .providers import Effect


@dataclass(frozen=True)
class Evidence:
    """An execution, its saga, and the effects of its steps at the providers."""

    saga: Saga
    view: ExecutionView
    effects: Mapping[str, Effect]

    def attempts_in_doubt(self, step: str, direction: Direction) -> int:
        """Count the attempts of the step that ended in doubt."""
        runs = self.view.current_step_runs
        outcomes = [run.outcome for run in runs if (run.step, run.direction) == (step, direction)]
        return outcomes.count(Outcome.UNCERTAIN)

    @property
    def by_hand(self) -> set[str]:
        """The steps that a person resolved. Their effects cannot be checked."""
        return {run.step for run in self.view.current_step_runs if run.direction == Direction.RESOLVED}


def violations_of(saga: Saga, saga_id: str, effects: Mapping[str, Effect] | None = None) -> list[str]:
    """Return one sentence for each violation of an invariant by the execution.

    `effects` maps step names to the effects at the providers. Without it, only the tables of `sagas` are checked. The
    execution must not run during the check.
    """
    key = SagaExecution.objects.using(database.alias()).values_list("pk", flat=True).get(saga_id=saga_id)
    [view] = audit.load_whole([key])
    found = audit.violations_of(saga, view)
    if effects is not None:
        evidence = Evidence(saga, view, effects)
        found += _compensated_once(evidence)
        check = CHECKS.get(view.execution.state)
        found += check(evidence) if check else ()
    return found


def _succeeded(evidence: Evidence) -> Iterator[str]:
    """I1: every effect exists exactly once, the effect of an optional step at most once, and nothing is compensated."""
    for name in evidence.view.execution.plan:
        effect, step = evidence.effects.get(name, Effect()), evidence.saga.step(name)
        least = 1 if effect.due and not (step and step.optional) else 0
        most = int(effect.due) + (evidence.attempts_in_doubt(name, Direction.ACTION) if effect.repeats else 0)
        if name not in evidence.by_hand and not least <= effect.done <= most:
            yield f"I1: {name} took effect {effect.done} times, not {least} to {most} times"
        if effect.compensated:
            yield f"I1: {name} was compensated {effect.compensated} times, although the saga succeeded"


def _failed(evidence: Evidence) -> Iterator[str]:
    """I2: no effect of a compensated step remains, and no compensation was sent for a message that was never sent."""
    for step in evidence.saga:
        effect = evidence.effects.get(step.name, Effect())
        if not step.compensation or step.name in evidence.by_hand:
            continue
        if effect.remains:
            yield f"I2: the effect of {step.name} remains"
        if (
            effect.repeats
            and effect.compensated
            and not effect.done
            and not evidence.attempts_in_doubt(step.name, Direction.ACTION)
        ):
            yield f"I2: {step.name} never happened, but it was compensated"


def _partially_compensated(evidence: Evidence) -> Iterator[str]:
    """I3: the effects that remain are the same as those that are reported as remaining."""
    view = evidence.view
    replayed = replay(evidence.saga, view.execution, view.current_step_runs, view.current_events)
    reported = set(planner.remaining(evidence.saga, replayed.history))
    known = reported - set(history.in_doubt(replayed.history))
    for step in evidence.saga:
        effect = evidence.effects.get(step.name, Effect())
        if not step.compensation or step.name in evidence.by_hand:
            continue
        if effect.remains and step.name not in reported:
            yield f"I3: the effect of {step.name} remains, but is not reported"
        if (
            step.name in known
            and not effect.remains
            and not evidence.attempts_in_doubt(step.name, Direction.COMPENSATION)
        ):
            yield f"I3: {step.name} is reported as remaining, but is not there"


CHECKS = {
    SagaState.SUCCEEDED: _succeeded,
    SagaState.FAILED: _failed,
    SagaState.PARTIALLY_COMPENSATED: _partially_compensated,
}


def _compensated_once(evidence: Evidence) -> Iterator[str]:
    """I5: each compensation takes effect at most once; a message once more for each of its attempts in doubt."""
    for name, effect in evidence.effects.items():
        most = 1 + (evidence.attempts_in_doubt(name, Direction.COMPENSATION) if effect.repeats else 0)
        if effect.compensated > most:
            yield f"I5: {name} was compensated {effect.compensated} times"
