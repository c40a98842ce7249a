"""Prove a saga: run it to each possible end, crash it at each crash point of these runs, and check the results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sagas.definition.context import StepContext
from sagas.definition.exceptions import OutcomeUnknown, StepFailed
from sagas.definition.saga import Saga, SagaStep, StepCall
from sagas.definition.states import Direction

from .call_trace import BEGUN, RAISED, CallTrace, TraceEvent
from .child_process import ChildFailed
from .crash_points import Context, CrashTest, Trial
from .providers import Providers

KEY = re.compile(r"'[^']*'")


@dataclass(frozen=True)
class Scenario:
    """A variant of the saga that leads to a certain end. With `crashes`, crash it once at each crash point."""

    name: str
    saga: Saga
    crashes: bool = True


@dataclass
class ScenarioResult:
    """The result of a scenario: the number of crash points, the end states of its executions, and the problems."""

    scenario: str
    points: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def scenarios(saga: Saga) -> Iterator[Scenario]:
    """Yield the scenarios of a saga.

    They are: success; for each action, a refusal; for each compensation, a refusal; and for each action, a reply that
    is lost once, and replies that are always lost.
    """
    yield Scenario("success", saga)
    for step in saga:
        yield Scenario(f"{step.name} is refused", _changed(saga, step, action=_refuse))
    for step in saga:
        if step.compensation:
            yield Scenario(f"the compensation of {step.name} is refused", _compensation_refused(saga, step))
    for step in saga:
        if not step.transactional:
            lost_once = partial(_lose_reply, step.action, 1)
            yield Scenario(f"a reply to {step.name} is lost", _changed(saga, step, action=lost_once), crashes=False)
            lost = partial(_lose_reply, step.action, None)
            yield Scenario(f"no reply to {step.name} arrives", _changed(saga, step, action=lost), crashes=False)


def prove(saga: Saga, context: Context, providers: Providers, trace_file: Path) -> Iterator[ScenarioResult]:
    """Run each scenario and yield its result. The trace of the steps' calls is written to `trace_file`."""
    trace = CallTrace(trace_file)
    for scenario in scenarios(saga):
        yield _run(scenario, context, providers, trace)


def _run(scenario: Scenario, context: Context, providers: Providers, trace: CallTrace) -> ScenarioResult:
    result, before = ScenarioResult(scenario.name), len(getattr(providers, "violations", ()))
    test = CrashTest(trace.traced(scenario.saga), context, providers, listener=trace.add_call)
    try:
        undisturbed, passed = test.undisturbed()
        trials = [test.trial(number, where=where) for number, where in enumerate(passed, 1) if scenario.crashes]
    except ChildFailed as failure:
        result.violations.append(str(failure))
        return result
    result.points = len(trials)
    # Remove the keys, so that the same reason has the same sentence for every execution.
    rejected = [KEY.sub("…", sentence) for sentence in list(getattr(providers, "violations", ()))[before:]]
    result.violations += [f"The fake provider rejected a call: {sentence}." for sentence in dict.fromkeys(rejected)]
    for trial in (undisturbed, *trials):
        result.outcomes[trial.state.value] += 1
        for sentence in _sentences(trial, undisturbed, trace):
            # Report a function only once, not for each crash point.
            without_place = sentence.partition(" called again after a crash ")[0]
            if not any(
                known.partition(" called again after a crash ")[0] == without_place for known in result.violations
            ):
                result.violations.append(sentence)
    return result


def _sentences(trial: Trial, undisturbed: Trial, trace: CallTrace) -> Iterator[str]:
    """Yield one sentence for each problem of the trial: first flaws of functions, then violated invariants."""
    events = trace.events(trial.saga_id)
    yield from _flaws(events)
    if trial.state is not undisturbed.state:
        harm = f"ended {trial.state.value} instead of {undisturbed.state.value}"
    else:
        harm = "; ".join(violation for violation in trial.violations if violation not in undisturbed.violations)
    if harm:
        place = " ".join(trial.where.split()[:2])  # leave out the idempotency key
        for function in _not_idempotent(events, trace.events(undisturbed.saga_id)):
            yield f"The {function} is not idempotent: called again after a crash ({place}), the saga {harm}."
    yield from trial.violations


def _flaws(events: Sequence[TraceEvent]) -> Iterator[str]:
    """Yield the calls that are wrong in every step, even if they did no harm in this trial."""
    for event in events:
        if event.in_transaction:
            yield (
                f"The {event.function} calls {event.operation} inside an open transaction, whose rollback cannot undo "
                "it."
            )
        if not event.own_key:
            yield (
                f"The {event.function} calls {event.operation} without its idempotency key: a repeated attempt has its "
                "effect twice."
            )
    for event, operation in _raised_after_effect(events):
        yield (
            f"The {event.function} raises {event.error_type} after {operation} took effect, which counts as 'it did "
            "not happen': raise OutcomeUnknown."
        )


def _raised_after_effect(events: Sequence[TraceEvent]) -> Iterator[tuple[TraceEvent, str]]:
    operation = ""
    for event in events:
        if event.what == BEGUN:
            operation = ""
        if event.moment == "after":
            operation = event.operation
        if event.what == RAISED and event.counts_as_failed and operation and event.direction == Direction.ACTION:
            yield event, operation


def _not_idempotent(events: Sequence[TraceEvent], usual: Sequence[TraceEvent]) -> Iterator[str]:
    """Yield the functions without another flaw that were called more often than in the run without a crash."""
    calls, usually = (Counter(event.function for event in some if event.what == BEGUN) for some in (events, usual))
    flawed = {event.function for event in events if event.in_transaction or not event.own_key}
    flawed |= {event.function for event, _ in _raised_after_effect(events)}
    for function, count in calls.items():
        if 0 < usually[function] < count and function not in flawed:
            yield function


def _changed(saga: Saga, changed: SagaStep, **changes: StepCall) -> Saga:
    return saga.with_steps(replace(step, **changes) if step is changed else step for step in saga)  # type: ignore[arg-type]


def _compensation_refused(saga: Saga, refusing: SagaStep) -> Saga:
    """Make the compensation of the step fail, and make the saga need this compensation.

    Refuse the action of a later step; if there is none, lose all replies of this step's action.
    """
    refused = _changed(saga, refusing, compensation=_refuse)
    place = saga.names.index(refusing.name)
    later = [step for step in refused[place + 1 :] if not step.optional]
    if later:
        return _changed(refused, later[-1], action=_refuse)
    return _changed(refused, refused[place], action=partial(_lose_reply, refusing.action, None))


def _refuse(_: StepContext) -> Any:
    raise StepFailed("refused by the proof")


def _lose_reply(action: StepCall, attempts: int | None, context: StepContext) -> Any:
    """Call the action and raise OutcomeUnknown in the first `attempts` attempts, or always if `attempts` is None."""
    returned = action(context)
    if attempts is not None and context.attempt > attempts:
        return returned
    raise OutcomeUnknown("the proof lost the reply")
