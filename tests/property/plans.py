"""Draw random sagas with random call results, and build the real saga of each plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from sagas import OutcomeUnknown, RetryLater, Saga, SagaStep, StepFailed, StepTimeout, StillPending
from sagas.definition.states import Direction

OK, BOOM, REFUSED, LATER, PENDING, NEWS, UNKNOWN, TIMEOUT, LOST = (
    "ok", "boom", "refused", "later", "pending", "news", "unknown", "timeout", "lost",
)  # fmt: skip
HAPPENED, NOT, DUNNO = "happened", "not", "dunno"


@dataclass(frozen=True)
class StepPlan:
    """A drawn step: its options and the results of its first calls. All later calls succeed."""

    name: str
    idempotent: bool = True
    undoable: bool = True
    verifiable: bool = False
    transactional: bool = False
    optional: bool = False
    pivot: bool = False
    retries: int = 0
    undo_retries: int | None = 0
    delay: float = 0.0
    max_delay: float = 0.0
    timeout: float = 30.0
    patience: float = 86400.0
    after: float = 0.0
    takes: float = 0.0
    action: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()

    def script(self, direction: Direction) -> list[str]:
        """Return the results of the first calls in this direction."""
        scripts = {
            Direction.ACTION: self.action,
            Direction.COMPENSATION: self.undo,
            Direction.VERIFY: self.verify,
        }
        return list(scripts[direction])


@dataclass(frozen=True)
class SagaPlan:
    """A drawn saga. `acts` choose the operator's operation at each stop."""

    steps: tuple[StepPlan, ...]
    acts: tuple[int, ...] = ()
    cancel_at: int = 0
    cancel_during: bool = True
    hurried: bool = False


def do(plan: StepPlan, direction: Direction, fate: str, attempt: int) -> dict[str, Any] | None:
    """Play one call with this result: return an output or raise an error."""
    if fate == NOT:
        return None
    if fate in (OK, HAPPENED):
        return output_of(plan, direction, attempt)
    errors: dict[str, Callable[[], BaseException]] = {
        BOOM: lambda: ValueError("boom"),
        REFUSED: lambda: StepFailed("declined"),
        LATER: lambda: RetryLater(plan.after),
        PENDING: lambda: StillPending(plan.after, {"progress": 1}),
        NEWS: lambda: StillPending(plan.after, {"progress": 2}),
        UNKNOWN: lambda: OutcomeUnknown("no answer"),
        TIMEOUT: StepTimeout,
        DUNNO: lambda: LookupError("no answer yet"),
    }
    error = errors[fate]()
    raise error


def output_of(plan: StepPlan, direction: Direction, attempt: int) -> dict[str, Any]:
    """Return the output of a successful call, which the engine adds to the context."""
    return {f"{plan.name}_{direction.value}": attempt}


def saga_of(plan: SagaPlan, function: Callable[[StepPlan, Direction], Any]) -> Saga:
    """Return the real saga of a plan. `function` makes the function of each step and direction."""

    def step(of: StepPlan) -> SagaStep:
        return SagaStep(
            of.name,
            function(of, Direction.ACTION),
            function(of, Direction.COMPENSATION) if of.undoable else None,
            verify=function(of, Direction.VERIFY) if of.verifiable else None,
            timeout=of.timeout,
            retry_count=of.retries,
            compensation_retry_count=of.undo_retries,
            retry_delay=of.delay,
            max_delay=of.max_delay,
            jitter=False,
            idempotent=of.idempotent,
            transactional=of.transactional,
            optional=of.optional,
            pivot=of.pivot,
            patience=of.patience,
        )

    return Saga("drawn", [step(of) for of in plan.steps])


FATES = [OK, BOOM, REFUSED, LATER, PENDING, NEWS, UNKNOWN, TIMEOUT]


@st.composite
def sagas(draw: st.DrawFn, *, timed: bool) -> SagaPlan:
    """Draw sagas of 1 to 8 steps. `timed` adds delays, patience and worker crashes, which need a simulated clock."""
    count = draw(st.integers(1, 8))
    turn = draw(st.none() | st.integers(0, count - 1))
    steps = tuple(draw(_steps(place, turn, timed=timed)) for place in range(count))
    acts = draw(st.tuples(*[st.integers(0, 5)] * 4))
    cancel_at = 0 if timed else draw(st.just(0) | st.integers(1, 12))
    return SagaPlan(steps, acts, cancel_at, draw(st.booleans()), draw(st.booleans()))


@st.composite
def _steps(draw: st.DrawFn, place: int, turn: int | None, *, timed: bool) -> StepPlan:
    fates = st.sampled_from([*FATES, LOST] if timed else FATES)
    flag = st.booleans()
    rarely = st.integers(0, 3).map(lambda number: number == 0)
    scripts = st.lists(fates, max_size=5).map(tuple)
    quiet = draw(flag)
    times: dict[str, Any] = {}
    if timed:
        times = {
            "delay": draw(st.sampled_from([0.0, 1.0, 40.0])),
            "max_delay": draw(st.sampled_from([0.0, 60.0, 300.0, 30000.0])),
            "timeout": draw(st.sampled_from([1.0, 30.0])),
            "patience": draw(st.sampled_from([5.0, 3600.0])),
            "after": draw(st.sampled_from([0.0, 3.0, 2000.0])),
            "takes": draw(st.sampled_from([0.0, 0.5])),
        }
    return StepPlan(
        name=f"s{place}",
        idempotent=draw(flag),
        undoable=draw(st.integers(0, 3)) > 0 and (turn is None or place <= turn),
        verifiable=draw(rarely),
        transactional=draw(rarely),
        optional=place != turn and draw(rarely),
        pivot=place == turn,
        retries=draw(st.integers(0, 2)),
        undo_retries=draw(st.none() | st.integers(0, 2)),
        action=() if quiet else draw(scripts),
        undo=draw(scripts),
        verify=draw(
            st.lists(st.sampled_from([HAPPENED, NOT, DUNNO, *([LOST] if timed else [])]), max_size=4).map(tuple)
        ),
        **times,
    )
