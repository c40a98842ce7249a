"""The attempts of the current run, and the facts about each step that follow from them.

Pure: no clock, no database, no Django.

Promises: docs/GUARANTEES.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from sagas.definition.exceptions import UnreadableRow
from sagas.definition.saga import Saga, SagaStep
from sagas.definition.states import Direction, Ending, Outcome, Resolution, SagaState

T = TypeVar("T")

IN_DOUBT = frozenset({Outcome.UNCERTAIN, Outcome.PENDING})


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One attempt of the current run.

    `sequence` is the version of the execution after the attempt's checkpoint. `lost` means that the worker lost the
    lease during the attempt.
    """

    sequence: int
    step: str
    direction: Direction
    attempt: int
    outcome: Outcome
    key: str
    started_at: dt.datetime
    finished_at: dt.datetime
    ending: Ending = Ending.NONE
    retry_at: dt.datetime | None = None
    output: Mapping[str, Any] | None = None
    lost: bool = False
    resolution: Resolution | None = None

    @property
    def spends_retry(self) -> bool:
        """Whether the attempt counts against the retries of its step."""
        return not self.lost and self.outcome in (Outcome.FAILED, Outcome.UNCERTAIN)


class StepRow(Protocol):
    """The columns of a step run that the rules need; the model `StepRun` has them."""

    sequence: Any
    step: Any
    direction: Any
    attempt: Any
    outcome: Any
    idempotency_key: Any
    started_at: Any
    finished_at: Any
    ending: Any
    retry_at: Any
    output: Any
    resolution: Any

    @property
    def lost(self) -> bool:
        """Whether the worker lost its lease during the attempt."""


def past_attempt(row: StepRow) -> PastAttempt:
    """Convert the row of a step run.

    Raises UnreadableRow if the row has a direction, outcome, ending or resolution that this version of the code does
    not know.
    """
    return PastAttempt(
        sequence=row.sequence,
        step=row.step,
        direction=_member("direction", row.direction, Direction),
        attempt=row.attempt,
        outcome=_member("outcome", row.outcome, Outcome),
        key=row.idempotency_key,
        started_at=row.started_at,
        finished_at=row.finished_at,
        ending=_member("ending", row.ending, Ending),
        retry_at=row.retry_at,
        output=row.output,
        lost=row.lost,
        resolution=_member("resolution", row.resolution, Resolution) if row.resolution else None,
    )


def _member(column: str, value: str, enum: Callable[[str], T]) -> T:
    try:
        return enum(value)
    except ValueError as error:
        raise UnreadableRow(column, str(error)) from error


@dataclass(frozen=True, slots=True)
class History:
    """The attempts of the current run, in order, and the columns of the execution that the rules need.

    Only attempts after version `budget_since` count against the retries. `keys_since` is the version of the last
    operator's retry: a compensation gets a new key only if that retry came after its last attempt.
    """

    saga_id: str
    run: int
    state: SagaState
    plan: tuple[str, ...]
    attempts: tuple[PastAttempt, ...] = ()
    failed_step: str = ""
    budget_since: int = 0
    keys_since: int = 0
    facts: dict[str, StepFacts] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def columns(self) -> dict[str, Any]:
        """The values of all columns of an execution that follow from its history."""
        return {
            **self.progress,
            "run": self.run,
            "plan": list(self.plan),
            "budget_since": self.budget_since,
            "keys_since": self.keys_since,
        }

    @property
    def progress(self) -> dict[str, Any]:
        """The values of the columns that change while a run goes on. Every checkpoint writes them."""
        return {
            "state": self.state,
            "steps_completed": steps_completed(self),
            "failed_step": self.failed_step,
            "compensation_performed": compensation_performed(self),
        }

    def with_attempt(self, past: PastAttempt) -> History:
        """Return a new history that ends with this attempt."""
        return replace(self, attempts=(*self.attempts, past))

    def in_state(self, state: SagaState, failed_step: str) -> History:
        """Return the history with this state and failed step.

        Returns the same object, with its computed facts, if neither changes.
        """
        if (state, failed_step) == (self.state, self.failed_step):
            return self
        return replace(self, state=state, failed_step=failed_step)


@dataclass(slots=True)
class StepFacts:
    """The facts about one step that follow from its attempts.

    `done`, `in_doubt` and `over` are about the action; `compensated` and the `compensation_…` fields are about the
    compensation. `over` means that the action is not tried again. `counts`, `spent` (retries) and `last` are by
    direction.
    """

    done: bool = False
    in_doubt: bool = False
    uncertain: bool = False
    over: bool = False
    ruled_out: bool = False
    resolved: bool = False
    verify_over: bool = False
    ending: Ending = Ending.NONE
    output: Mapping[str, Any] | None = None
    compensated: bool = False
    compensation_in_doubt: bool = False
    compensation_uncertain: bool = False
    compensation_ending: Ending = Ending.NONE
    counts: dict[Direction, int] = field(default_factory=dict)
    spent: dict[Direction, int] = field(default_factory=dict)
    last: dict[Direction, PastAttempt] = field(default_factory=dict)
    last_in_doubt: PastAttempt | None = None
    pending_since: dict[Direction, dt.datetime] = field(default_factory=dict)
    compensation_failures: list[dt.datetime] = field(default_factory=list)

    @property
    def to_compensate(self) -> bool:
        """Whether the step took effect, or may have taken effect, and is not compensated."""
        return (self.done or self.in_doubt) and not self.compensated

    def retry_at(self, direction: Direction) -> dt.datetime | None:
        """Return when the next attempt of that direction may start; None = at once."""
        last = self.last.get(direction)
        return last.retry_at if last else None

    def add(self, past: PastAttempt, *, fresh: bool) -> None:
        """Update the facts with one more attempt. `fresh` means that it counts against the current retry budget."""
        if past.direction is Direction.RESOLVED:
            self._add_resolution(past, fresh=fresh)
            return
        self.counts[past.direction] = self.counts.get(past.direction, 0) + 1
        self.last[past.direction] = past
        if fresh and past.spends_retry:
            self.spent[past.direction] = self.spent.get(past.direction, 0) + 1
        if fresh and past.outcome is Outcome.PENDING:
            self.pending_since.setdefault(past.direction, past.started_at)
        if past.direction is Direction.COMPENSATION:
            self._add_compensation(past, fresh=fresh)
        else:
            self._add_action_or_verify(past, fresh=fresh)

    def _add_action_or_verify(self, past: PastAttempt, *, fresh: bool) -> None:
        is_action = past.direction is Direction.ACTION
        if past.outcome is Outcome.SUCCEEDED:
            self.done, self.in_doubt, self.uncertain, self.compensated = True, False, False, False
            self.output = past.output
        elif is_action and past.outcome in IN_DOUBT:
            self.in_doubt, self.last_in_doubt, self.compensated = True, past, False
            self.uncertain = self.uncertain or past.outcome is Outcome.UNCERTAIN
            self.output = past.output if past.outcome is Outcome.PENDING else self.output
        elif not is_action and past.outcome is Outcome.FAILED:
            self.in_doubt, self.uncertain, self.ruled_out = False, False, fresh
        ended = fresh and past.ending is not Ending.NONE
        if is_action:
            self.ending, self.over = past.ending, ended
        else:
            self.verify_over = ended

    def _add_compensation(self, past: PastAttempt, *, fresh: bool) -> None:
        self.compensated = past.outcome is Outcome.SUCCEEDED
        self.compensation_in_doubt = self.compensation_in_doubt or past.outcome in IN_DOUBT
        self.compensation_uncertain = self.compensation_uncertain or past.outcome is Outcome.UNCERTAIN
        self.compensation_ending = past.ending if fresh else Ending.NONE
        if fresh and past.spends_retry:
            self.compensation_failures.append(past.finished_at)

    def _add_resolution(self, past: PastAttempt, *, fresh: bool) -> None:
        """Apply what an operator found out about the step.

        DONE before any compensation means that the step took effect; after a compensation, that its effect stays.
        NOT_DONE ends the attempts of the action until a release.
        """
        self.in_doubt, self.uncertain, self.resolved = False, False, True
        self.over = self.over or (fresh and past.resolution is Resolution.NOT_DONE)
        self.done = past.resolution is Resolution.DONE or (self.done and past.resolution is Resolution.UNDONE)
        self.compensated = past.resolution is Resolution.UNDONE or (self.done and Direction.COMPENSATION in self.last)
        if past.resolution is Resolution.DONE and past.output is not None:
            self.output = past.output


def facts_of(history: History) -> dict[str, StepFacts]:
    """Return the facts of each planned step, by name.

    The result is computed once for each history and shared: do not change it.
    """
    if history.facts is None:
        facts = {name: StepFacts() for name in history.plan}
        for past in history.attempts:
            if past.step in facts:
                facts[past.step].add(past, fresh=past.sequence > history.budget_since)
        object.__setattr__(history, "facts", facts)
        return facts
    return history.facts


def roll_back(history: History, failed_step: str) -> History:
    """Return the history in state COMPENSATING, with `failed_step` as the cause of the rollback ("" = a cancel)."""
    return replace(history, state=SagaState.COMPENSATING, failed_step=failed_step)


def retried(history: History, version: int) -> History:
    """Return the history after an operator's retry of a rollback, at this version of the execution.

    The steps get a fresh retry budget, and compensations that certainly failed get new keys.
    """
    return replace(history, state=SagaState.COMPENSATING, budget_since=version, keys_since=version)


def steps_completed(history: History) -> list[str]:
    """Return the names of the planned steps that succeeded or were resolved as done, in order."""
    facts = facts_of(history)
    return [name for name in history.plan if facts[name].done]


def outputs(history: History) -> dict[str, Mapping[str, Any]]:
    """Return the output of each completed step of this run, by name; {} for a step without output."""
    facts = facts_of(history)
    return {name: dict(facts[name].output or {}) for name in history.plan if facts[name].done}


def compensation_performed(history: History) -> bool:
    """Return whether a compensation of this run succeeded."""
    return any(
        past.direction is Direction.COMPENSATION and past.outcome is Outcome.SUCCEEDED for past in history.attempts
    )


def in_doubt(history: History) -> list[str]:
    """Return the names of the steps that may have taken effect and are not compensated, in order."""
    facts = facts_of(history)
    return [name for name in history.plan if facts[name].in_doubt and not facts[name].compensated]


def past_pivot(saga: Saga, history: History) -> bool:
    """Return whether the pivot has succeeded: from then on nothing is compensated (promise 13)."""
    facts = facts_of(history)
    return any(step.pivot and step.name in facts and facts[step.name].done for step in saga)


def pivot_reached(saga: Saga, history: History) -> bool:
    """Return whether the pivot has succeeded or is in doubt: a cancel is refused then (promise 9)."""
    facts = facts_of(history)
    pivots = [facts[step.name] for step in saga if step.pivot and step.name in facts]
    return any(pivot.done or pivot.in_doubt for pivot in pivots)


def deserves_attention(history: History) -> bool:
    """Return whether an operator should look at a run that ended FAILED.

    False after a refusal by the provider, after a cancel, and if an operator resolved the failed step.
    """
    facts = facts_of(history).get(history.failed_step)
    return facts is not None and facts.ending is not Ending.REFUSED and not facts.resolved


def key_of(history: History, step: str, direction: Direction) -> str:
    """Return the idempotency key of the step's next attempt in that direction (promise 7).

    Action and verify share one key for each run: "id:run:step". Compensations use "id:run:step:undo". After an
    operator's retry they get a number at the end, if every earlier compensation certainly failed.
    """
    key = f"{history.saga_id}:{history.run}:{step}"
    if direction is not Direction.COMPENSATION:
        return key
    compensations = [
        past for past in history.attempts if past.step == step and past.direction is Direction.COMPENSATION
    ]
    if not compensations:
        return f"{key}:undo"
    last = compensations[-1]
    all_failed = all(past.outcome is Outcome.FAILED for past in compensations)
    if last.sequence > history.keys_since or not all_failed:
        return last.key
    return f"{key}:undo:{len({past.key for past in compensations}) + 1}"


def settled_at(step: SagaStep, uncertain: PastAttempt) -> dt.datetime:
    """Return the time after which the request of the attempt `uncertain` cannot reach the provider any more.

    If the provider does not know the request after this time, the attempt had no effect (promise 6).
    """
    timeout = dt.timedelta(seconds=step.timeout)
    return max(uncertain.started_at + 2 * timeout, uncertain.finished_at + timeout)


def deferred_since(step: SagaStep, facts: StepFacts) -> dt.datetime | None:
    """Return when the compensation spent its last retry and became deferred; None while a retry is left."""
    failures, retries = facts.compensation_failures, step.effective_compensation_retry_count
    return failures[retries] if len(failures) > retries else None
