"""A simple interpreter of sagas that shares no code with the planner.

It walks forward and backward through the steps and keeps a few facts about each step. Its clock is a float of seconds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sagas.definition.states import Direction

from .plans import (
    BOOM,
    DUNNO,
    HAPPENED,
    LATER,
    LOST,
    NEWS,
    NOT,
    OK,
    PENDING,
    REFUSED,
    TIMEOUT,
    UNKNOWN,
    SagaPlan,
    StepPlan,
    output_of,
)

ACTION, UNDO, VERIFY = Direction.ACTION, Direction.COMPENSATION, Direction.VERIFY
AFTER_PIVOT, PIVOT_IN_DOUBT = "after the pivot", "pivot in doubt"


@dataclass
class Facts:
    """The facts about one step in the current run."""

    done: bool = False
    in_doubt: bool = False
    never_again: bool = False
    compensated: bool = False
    refused: bool = False
    resolved: bool = False
    over: bool = False
    asked_out: bool = False
    doubted_at: float = 0.0
    tries: dict[Direction, int] = field(default_factory=lambda: defaultdict(int))
    spent: dict[Direction, int] = field(default_factory=lambda: defaultdict(int))
    next_at: dict[Direction, float] = field(default_factory=lambda: defaultdict(float))
    pending_since: dict[Direction, float] = field(default_factory=dict)
    reported: dict[Direction, str] = field(default_factory=dict)
    undo_key: str = ""
    undo_keys: int = 0
    compensation_in_doubt: bool = False
    undo_failures_only: bool = True
    renew_key: bool = False
    given_up: bool = False
    deferred_since: float | None = None

    def fresh_budget(self) -> None:
        """Reset all budgets, as an operator's operation does."""
        self.over = self.asked_out = self.given_up = False
        self.deferred_since = None
        self.spent.clear()
        self.pending_since.clear()

    @property
    def to_compensate(self) -> bool:
        """Return whether the step has or may have an effect that is not compensated."""
        return (self.done or self.in_doubt) and not self.compensated


class Cancelled(Exception):
    """The saga obeys a request to cancel."""


class Held(Exception):
    """The saga is held until an operator decides."""


class Reference:
    """Run a plan and keep the results as attributes."""

    def __init__(self, plan: SagaPlan, saga_id: str, *, patience: float) -> None:
        self.plan, self.saga_id, self.patience = plan, saga_id, patience
        self.scripts = {(step.name, way): step.script(way) for step in plan.steps for way in (ACTION, UNDO, VERIFY)}
        self.calls: list[tuple[str, str, int, str]] = []
        self.moments: list[float] = []
        self.now = 0.0
        self.run = 0
        self.new_run()

    # Results that the tests read.

    @property
    def completed(self) -> list[str]:
        """Return the names of the completed steps."""
        return [step.name for step in self.plan.steps if self.facts[step.name].done]

    @property
    def remaining(self) -> list[StepPlan]:
        """Return the steps to compensate that have a compensation, last step first."""
        return [s for s in reversed(self.plan.steps) if s.undoable and self.facts[s.name].to_compensate]

    def possible_acts(self) -> list[tuple[str, str]]:
        """Return the operations that are possible at this stop, as (operation, step)."""
        if self.held:
            return [("release", ""), ("done", self.held_at), ("not_done", self.held_at)]
        if self.state == "failed":
            return [("retry", "")]
        if self.state == "partially_compensated":
            return [("retry", ""), ("undone", self.remaining[0].name), ("done", self.remaining[-1].name)]
        if self.remaining and not any(s.pivot for s in self.plan.steps):
            return [("compensate", "")]
        return []

    # Operations of an operator, and the main loop.

    def new_run(self) -> None:
        """Start a new run, without any state of the previous run."""
        self.run += 1
        self.state, self.failed_step, self.performed = "in_progress", "", False
        self.held = self.held_at = ""
        self.attention = False
        self.pending_request = False
        self.alarm_at: float | None = None
        self.context: dict[str, Any] = {}
        self.facts = {step.name: Facts() for step in self.plan.steps}

    def operation(self, operation: str, name: str) -> None:
        """Apply the operator's operation and continue."""
        if operation == "retry" and self.state == "failed":
            self.new_run()
        elif operation in ("retry", "compensate"):
            self.state = "compensating"
            for facts in self.facts.values():
                facts.renew_key = facts.renew_key or operation == "retry"
                facts.fresh_budget()
        elif operation == "release":
            for facts in self.facts.values():
                facts.fresh_budget()
        else:
            self.resolve(operation, self.facts[name])
        self.go()

    def resolve(self, outcome: str, facts: Facts) -> None:
        """Apply an operator's resolution. `done` after an attempt to compensate means that the effect stays."""
        facts.in_doubt = facts.never_again = False
        facts.resolved = True
        if outcome == "done":
            facts.done, facts.compensated = True, facts.tries[UNDO] > 0
        elif outcome == "not_done":
            facts.done, facts.over = False, True
        else:
            facts.compensated = True

    def go(self) -> None:
        """Continue until the saga ends or is held."""
        self.held = self.held_at = ""
        self.attention = False
        try:
            if self.state == "in_progress":
                self.forward()
            elif self.state == "partially_compensated":
                self.end_partly()
            else:
                self.backward()
        except Cancelled:
            self.pending_request = False
            self.begin_rollback("")
        except Held as held:
            self.held, self.attention = str(held), True

    # Moves while the saga goes forward.

    def forward(self) -> None:
        """Run the steps in order."""
        for place, step in enumerate(self.plan.steps):
            facts = self.facts[step.name]
            passed = step.optional and any(
                self.facts[later.name].tries[ACTION] for later in self.plan.steps[place + 1 :]
            )
            if facts.done or passed:
                continue
            self.try_action(step, facts)
            if not facts.done:
                self.ask(step, facts)
            if not facts.done and not step.optional:
                self.fail(step, facts)
                return
        self.state = "succeeded"

    def try_action(self, step: StepPlan, facts: Facts) -> None:
        """Make attempts until the step is done or out of attempts."""
        while not (facts.over or (facts.never_again and not step.idempotent)):
            begun, kind = self.call(step, ACTION)
            facts.refused = kind == REFUSED
            if kind == OK:
                facts.done, facts.in_doubt = True, False
            elif kind == REFUSED:
                facts.over = True
            elif kind in (PENDING, NEWS):
                facts.over = self.pend(step, ACTION, kind, begun)
            elif kind == LOST:
                self.doubt(facts, begun, final=not step.transactional)
            else:
                self.spend(step, facts, kind, begun)
            self.obey(step, facts)
            if facts.done:
                return

    def doubt(self, facts: Facts, begun: float, *, final: bool) -> None:
        """Mark the step as in doubt, if `final`."""
        if final:
            facts.in_doubt = facts.never_again = True
            facts.doubted_at = begun

    def spend(self, step: StepPlan, facts: Facts, kind: str, begun: float) -> None:
        """Spend one retry on an attempt that failed or is in doubt."""
        facts.spent[ACTION] += 1
        if kind == UNKNOWN:
            self.doubt(facts, begun, final=True)
        facts.over = facts.spent[ACTION] > step.retries or (kind == UNKNOWN and not step.idempotent)
        self.back_off(step, ACTION, kind, facts.spent[ACTION], over=facts.over)

    def ask(self, step: StepPlan, facts: Facts) -> None:
        """Call `verify` until a step in doubt is decided or its retries are spent."""
        while step.verifiable and facts.in_doubt and not facts.asked_out:
            self.wait_until(facts.next_at[VERIFY] or facts.doubted_at + 2 * step.timeout)
            _, kind = self.call(step, VERIFY)
            if kind == HAPPENED:
                facts.done, facts.in_doubt = True, False
            elif kind == NOT:
                facts.in_doubt, facts.never_again, facts.over = False, False, True
            elif kind == DUNNO:
                facts.spent[VERIFY] += 1
                facts.asked_out = facts.spent[VERIFY] > step.retries
                self.back_off(step, VERIFY, kind, facts.spent[VERIFY], over=facts.asked_out)
            self.obey(step, facts)

    def fail(self, step: StepPlan, facts: Facts) -> None:
        """Hold the saga or roll it back after a final failure of the step."""
        if any(s.pivot and self.facts[s.name].done for s in self.plan.steps):
            self.held_at = step.name
            raise Held(AFTER_PIVOT)
        if step.pivot and facts.in_doubt and not step.undoable:
            self.held_at = step.name
            raise Held(PIVOT_IN_DOUBT)
        # If there is nothing to compensate, a requested cancel is the reason for the end, not the failed step.
        self.begin_rollback("" if self.pending_request and not self.remaining else step.name)

    def begin_rollback(self, failed_step: str) -> None:
        """Roll back."""
        self.failed_step, self.pending_request = failed_step, False
        self.state = "compensating"
        self.backward()

    def obey(self, step: StepPlan, facts: Facts) -> None:
        """Cancel if there is a request, unless this step has just failed: then the rollback starts anyway."""
        here = self.plan.cancel_at == len(self.calls)
        if here and not self.plan.cancel_during and self.state == "in_progress":
            last = facts.done and step is self.plan.steps[-1]
            last = last or (step.optional and self.closed(step, facts) and step is self.plan.steps[-1])
            self.pending_request = self.may_cancel() and not last and not self.fails_now(step, facts)
        if self.pending_request and not self.fails_now(step, facts):
            raise Cancelled

    def closed(self, step: StepPlan, facts: Facts) -> bool:
        """Return whether no more action and no more `verify` follows for the step."""
        over = facts.over or (facts.never_again and not step.idempotent)
        return over and not (facts.in_doubt and step.verifiable and not facts.asked_out)

    def fails_now(self, step: StepPlan, facts: Facts) -> bool:
        """Return whether the step has just failed for good."""
        return self.closed(step, facts) and not facts.done and not step.optional

    def may_cancel(self) -> bool:
        """Return whether the saga may be cancelled: no pivot succeeded or is in doubt."""
        pivots = [self.facts[s.name] for s in self.plan.steps if s.pivot]
        return not any(facts.done or facts.in_doubt for facts in pivots)

    # Moves while the saga rolls back.

    def backward(self) -> None:
        """Compensate in reverse order, then retry the deferred compensations."""
        for step in self.remaining:
            self.undo(step, self.facts[step.name])
        while deferred := [s for s in self.remaining if not self.facts[s.name].given_up]:
            self.wait_for_deferred(deferred)
        if self.remaining:
            self.state, self.attention = "partially_compensated", True
            return
        failed = self.facts.get(self.failed_step)
        self.state = "failed"
        self.attention = failed is not None and not failed.refused and not failed.resolved

    def undo(self, step: StepPlan, facts: Facts) -> None:
        """Make attempts until the step is compensated, given up or deferred."""
        while facts.to_compensate and not facts.given_up and facts.deferred_since is None:
            self.try_undo(step, facts)

    def try_undo(self, step: StepPlan, facts: Facts) -> None:
        """Make one attempt to compensate the step."""
        begun, kind = self.call(step, UNDO)
        if kind == OK:
            facts.compensated = self.performed = True
        elif kind == REFUSED:
            facts.given_up = True
        elif kind in (PENDING, NEWS):
            facts.given_up = self.pend(step, UNDO, kind, begun)
        elif kind == LOST:
            facts.next_at[UNDO] = 0.0
        else:
            self.spend_undo(step, facts, kind)

    def spend_undo(self, step: StepPlan, facts: Facts, kind: str) -> None:
        """Spend a retry on a failed compensation. After the last one, defer it if it is unavailable or in doubt."""
        facts.spent[UNDO] += 1
        retries = max(step.retries, 3) if step.undo_retries is None else step.undo_retries
        if facts.spent[UNDO] <= retries:
            self.back_off(step, UNDO, kind, facts.spent[UNDO], over=False)
            facts.next_at[UNDO] = min(facts.next_at[UNDO], self.now + self.patience)
            return
        if facts.deferred_since is None:
            facts.deferred_since = self.now
        waits = kind == LATER or facts.compensation_in_doubt
        facts.given_up = not waits or self.now >= facts.deferred_since + self.patience
        wait = max(step.max_delay, 1.0, step.after if self.gives_after(step, kind) else 0)
        facts.next_at[UNDO] = 0.0 if facts.given_up else min(self.now + wait, facts.deferred_since + self.patience)

    def wait_for_deferred(self, deferred: list[StepPlan]) -> None:
        """Retry the deferred compensation that is due first. After an hour, raise the alarm for an operator."""
        step = min(deferred, key=lambda s: self.facts[s.name].next_at[UNDO])
        due = self.facts[step.name].next_at[UNDO]
        alarm = min(self.facts[s.name].deferred_since for s in deferred) + 3600
        if due > self.now and due > alarm and self.alarm_at is None:
            self.alarm_at = max(self.now, alarm)
        self.try_undo(step, self.facts[step.name])

    def end_partly(self) -> None:
        """End the saga as failed if an operator has resolved all that remained."""
        if self.remaining:
            self.attention = True
        else:
            self.state = "failed"

    # Helpers for both directions.

    def call(self, step: StepPlan, way: Direction) -> tuple[float, str]:
        """Make one call at its due time; return its start time and the meaning of its result."""
        facts = self.facts[step.name]
        self.wait_until(facts.next_at[way])
        facts.next_at[way] = 0.0
        attempt = facts.tries[way] + 1
        self.calls.append((step.name, way.value, attempt, self.key(step, way)))
        self.moments.append(self.now)
        begun = self.now
        running_pivot = step.pivot and way is ACTION
        if self.plan.cancel_during and self.plan.cancel_at == len(self.calls) and self.state == "in_progress":
            self.pending_request = (
                self.may_cancel() and not running_pivot and not (step.transactional and way is ACTION)
            )
        script = self.scripts[step.name, way]
        fate = script.pop(0) if script else HAPPENED if way is VERIFY else OK
        if fate != LOST:
            self.now += step.takes
        kind = self.meaning(step, way, fate)
        if kind not in (PENDING, NEWS):
            facts.tries[way] += 1
            facts.reported[way] = kind
        if way is UNDO:
            self.note_undo(step, facts, kind)
        if kind in (OK, HAPPENED):
            self.context |= output_of(step, way, attempt)
        return begun, kind

    def meaning(self, step: StepPlan, way: Direction, fate: str) -> str:
        """Return what the result of a call means. A transaction that was rolled back had no effect."""
        if fate == TIMEOUT:
            fate = UNKNOWN
        if step.transactional and way is not VERIFY and fate in (UNKNOWN, PENDING, NEWS):
            return "pending-as-failed" if fate != UNKNOWN else BOOM
        return fate

    def pend(self, step: StepPlan, way: Direction, kind: str, begun: float) -> bool:
        """Handle a pending result; return whether the step's patience is over. An unchanged report adds no attempt."""
        facts = self.facts[step.name]
        end = facts.pending_since.setdefault(way, begun) + step.patience
        over, deferred = self.now >= end, way is UNDO and facts.deferred_since is not None
        if over or deferred or facts.reported.get(way) != kind:
            facts.tries[way] += 1
            if way is ACTION:
                facts.in_doubt, facts.doubted_at = True, begun
                facts.never_again = facts.never_again or over
        facts.reported[way] = "over" if over else kind
        wait = max(step.after, step.max_delay, 1.0) if deferred else step.after
        facts.next_at[way] = 0.0 if over else min(self.now + wait, end)
        return over

    def note_undo(self, step: StepPlan, facts: Facts, kind: str) -> None:
        """Note the facts that decide the next compensation key and whether the compensation may be given up."""
        failed = kind in (BOOM, REFUSED, LATER, "pending-as-failed") or (kind == LOST and step.transactional)
        facts.undo_failures_only = facts.undo_failures_only and failed
        facts.compensation_in_doubt = (
            facts.compensation_in_doubt or kind in (UNKNOWN, PENDING, NEWS) or (kind == LOST and not failed)
        )

    def key(self, step: StepPlan, way: Direction) -> str:
        """Return the idempotency key of the next call (promise 7)."""
        base = f"{self.saga_id}:{self.run}:{step.name}"
        if way is not UNDO:
            return base
        facts = self.facts[step.name]
        if not facts.undo_key:
            facts.undo_key, facts.undo_keys = f"{base}:undo", 1
        elif facts.renew_key and facts.undo_failures_only:
            facts.undo_keys += 1
            facts.undo_key = f"{base}:undo:{facts.undo_keys}"
        facts.renew_key = False
        return facts.undo_key

    def back_off(self, step: StepPlan, way: Direction, kind: str, retry: int, *, over: bool) -> None:
        """Set the start time of the next attempt."""
        delay = step.after if self.gives_after(step, kind) else min(step.delay * 2 ** (retry - 1), step.max_delay)
        delay = min(delay, self.patience) if way is UNDO else delay
        self.facts[step.name].next_at[way] = 0.0 if over else self.now + delay

    def gives_after(self, step: StepPlan, kind: str) -> bool:
        """Return whether the step itself named the delay before the next attempt."""
        return kind in (LATER, "pending-as-failed")

    def wait_until(self, moment: float) -> None:
        """Move the clock forward to `moment`."""
        self.now = max(self.now, moment)
