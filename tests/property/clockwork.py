"""Drive the planner alone, with a simulated clock that jumps to the end of each wait."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from sagas.definition.exceptions import StepTimeout
from sagas.definition.states import Direction, Outcome, Resolution, SagaState, StateEvent, state_after
from sagas.engine import planner, retry_policy
from sagas.engine.error_classification import Classification, classify
from sagas.engine.history import IN_DOUBT, History, PastAttempt, deserves_attention, retried, roll_back
from sagas.engine.planner import Attempt, Hold, RollBack, Settle, Wait

from .plans import HAPPENED, LOST, NOT, OK, SagaPlan, StepPlan, do, output_of, saga_of

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Clockwork:
    """Run a planned saga on its history and a simulated clock."""

    def __init__(self, plan: SagaPlan, saga_id: str, *, patience: float) -> None:
        self.saga = saga_of(plan, lambda _step, _way: print)
        self.plans = {step.name: step for step in plan.steps}
        self.scripts = {
            (step.name, way): step.script(way) for step in plan.steps for way in Direction if way != "resolved"
        }
        self.patience = patience
        self.now, self.version = START, 1
        self.calls: list[tuple[str, str, int, str]] = []
        self.moments: list[float] = []
        self.alarm_at: float | None = None
        self.held, self.attention = "", False
        self.history = History(saga_id, 1, SagaState.IN_PROGRESS, self.saga.names)

    @property
    def seconds(self) -> float:
        """Return the simulated seconds since the start, the unit of the reference."""
        return (self.now - START).total_seconds()

    def go(self) -> None:
        """Carry out moves until the saga ends or is held."""
        self.held, self.attention = "", self.history.state is SagaState.PARTIALLY_COMPENSATED
        for _ in range(10_000):
            if not self.turn(planner.next_move(self.saga, self.history, self.now)):
                return
        raise AssertionError("it does not come to an end")

    def turn(self, move: planner.Move) -> bool:
        """Carry out one move; return whether the saga continues."""
        if isinstance(move, Attempt):
            self.attempt(move)
        elif isinstance(move, Wait):
            assert move.until > self.now
            if move.attention and self.alarm_at is None:
                self.alarm_at = self.seconds
            self.now = move.until
        elif isinstance(move, RollBack):
            self.history = roll_back(self.history, move.failed_step)
        elif isinstance(move, Hold):
            self.held = move.reason
            return False
        elif isinstance(move, Settle):
            self.settle(move)
            return False
        else:
            return False
        return True

    def settle(self, move: Settle) -> None:
        """Apply the end of the run to the history."""
        before = self.history
        self.history = replace(before, state=state_after(before.state, move.event), failed_step=move.failed_step)
        self.attention = self.history.state is SagaState.PARTIALLY_COMPENSATED
        if self.history.state is SagaState.FAILED and before.state is not SagaState.PARTIALLY_COMPENSATED:
            self.attention = deserves_attention(self.history)

    def attempt(self, move: Attempt) -> None:
        """Make one call and add its attempt to the history."""
        plan, way = self.plans[move.step.name], move.direction
        self.calls.append((plan.name, way.value, move.number, move.key))
        self.moments.append(self.seconds)
        script = self.scripts[plan.name, way]
        fate = script.pop(0) if script else HAPPENED if way is Direction.VERIFY else OK
        started = self.now
        if fate == LOST:
            assert planner.in_flight(self.saga, self.history) == move
            outcome = Outcome.FAILED if plan.transactional else Outcome.UNCERTAIN
            self.file(move, Classification(outcome), retry_policy.RetryDecision(outcome), started, lost=True)
            return
        self.now += dt.timedelta(seconds=plan.takes)
        ended = self.ended(plan, move, fate)
        decision = retry_policy.decide(self.history, move, ended, started, self.now, 0.5, self.patience)
        last = self.last_record(move)
        if (
            decision.outcome is Outcome.PENDING
            and last
            and (last.outcome, last.output) == (Outcome.PENDING, ended.output)
            and not (move.direction is Direction.COMPENSATION and planner.is_deferred(self.history, move.step))
        ):
            assert decision.retry_at
            self.now = max(self.now, decision.retry_at)
            return
        self.file(move, ended, decision, started)

    def last_record(self, move: Attempt) -> PastAttempt | None:
        """Return the last attempt of the same step and direction, or None."""
        same = [r for r in self.history.attempts if (r.step, r.direction) == (move.step.name, move.direction)]
        return same[-1] if same else None

    def ended(self, plan: StepPlan, move: Attempt, fate: str) -> Classification:
        """Return the outcome of the call, as the engine classifies it."""
        if fate == NOT:
            return Classification(Outcome.FAILED)
        if fate in (OK, HAPPENED):
            return Classification(Outcome.SUCCEEDED, output=output_of(plan, move.direction, move.number))
        try:
            do(plan, move.direction, fate, move.number)
        except (Exception, StepTimeout) as error:  # noqa: BLE001  (whatever the plan says)
            ended = classify(error)
            ended = replace(ended, output=getattr(error, "output", None))
        if move.direction is Direction.VERIFY:
            return replace(ended, outcome=Outcome.UNCERTAIN)
        if plan.transactional and ended.outcome in IN_DOUBT:
            return replace(ended, outcome=Outcome.FAILED)
        return ended

    def file(
        self,
        move: Attempt,
        ended: Classification,
        decision: retry_policy.RetryDecision,
        started: dt.datetime,
        *,
        lost: bool = False,
    ) -> None:
        """Add the attempt to the history."""
        self.version += 1
        self.history = self.history.with_attempt(
            PastAttempt(
                sequence=self.version,
                step=move.step.name,
                direction=move.direction,
                attempt=move.number,
                outcome=decision.outcome,
                key=move.key,
                started_at=started,
                finished_at=self.now,
                ending=decision.ending,
                retry_at=decision.retry_at,
                output=ended.output,
                lost=lost,
            )
        )

    def operation(self, operation: str, name: str) -> None:
        """Change the history as the operator's operation does, and continue."""
        self.version += 1
        history = self.history
        if operation == "retry" and history.state is SagaState.FAILED:
            self.history = History(
                history.saga_id, history.run + 1, SagaState.IN_PROGRESS, self.saga.names,
                budget_since=self.version, keys_since=self.version,
            )  # fmt: skip
            self.alarm_at = None
        elif operation == "retry":
            self.history = retried(history, self.version)
        elif operation == "compensate":
            state = state_after(history.state, StateEvent.COMPENSATE)
            self.history = replace(history, state=state, budget_since=self.version)
        elif operation == "release":
            self.history = replace(history, budget_since=self.version)
        else:
            self.resolve(operation, name)
        self.go()

    def resolve(self, outcome: str, name: str) -> None:
        """Add an operator's resolution of the step to the history."""
        word = Resolution(outcome)
        told: dict[str, Any] = {"direction": Direction.RESOLVED, "resolution": word}
        told["outcome"] = Outcome.FAILED if word is Resolution.NOT_DONE else Outcome.SUCCEEDED
        self.history = self.history.with_attempt(
            PastAttempt(
                sequence=self.version, step=name, attempt=1, key="", started_at=self.now, finished_at=self.now, **told
            )
        )
