"""The state machine of an execution, written once: states, events, arrows."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class SagaState(StrEnum):
    """The state of an execution; the values are those of the database and the API."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPENSATING = "compensating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARTIALLY_COMPENSATED = "partially_compensated"


class StateEvent(StrEnum):
    """An event that moves an execution from one state to another."""

    BEGIN = "begin"
    CANCEL = "cancel"
    COMPLETE = "complete"
    ROLL_BACK = "roll_back"
    FAIL = "fail"
    ALL_COMPENSATED = "all_compensated"
    GIVE_UP = "give_up"
    RETRY = "retry"
    RETRY_COMPENSATIONS = "retry_compensations"
    RESOLVE = "resolve"
    COMPENSATE = "compensate"


class Direction(StrEnum):
    """What an attempt called; RESOLVED if a person recorded the outcome."""

    ACTION = "action"
    COMPENSATION = "compensation"
    VERIFY = "verify"
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """How an attempt ended. FAILED certainly had no effect; UNCERTAIN (in doubt) and PENDING may have had one."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    PENDING = "pending"


class Ending(StrEnum):
    """Why a step run was the last attempt of its kind; NONE if another may follow."""

    NONE = ""
    REFUSED = "refused"
    SPENT = "spent"
    IMPATIENT = "impatient"
    POISON = "poison"


class Resolution(StrEnum):
    """What a person found out about a step."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNDONE = "undone"


class EventKind(StrEnum):
    """What a saga event records: an operator's operation, or something that the engine did."""

    RETRY = "retry"
    CANCEL = "cancel"
    COMPENSATE = "compensate"
    HOLD = "hold"
    RELEASE = "release"
    VERIFY = "verify"
    RESOLVE = "resolve"
    ACKNOWLEDGE = "acknowledge"
    CORRECT = "correct"
    NOTE = "note"
    REVEAL = "reveal"
    HELD = "held"
    LOST_LEASE = "lost_lease"
    CANCELLED = "cancelled"


class CustomerState(StrEnum):
    """The state of an execution as its customer sees it; the values are those of the API."""

    PROCESSING = "processing"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CHECKING = "checking"


class Priority(IntEnum):
    """Which due execution is claimed first. Each rank is worth one SAGAS["AGEING"] of waiting."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


ARROWS: dict[tuple[SagaState, StateEvent], SagaState] = {
    (SagaState.PENDING, StateEvent.BEGIN): SagaState.IN_PROGRESS,
    (SagaState.PENDING, StateEvent.CANCEL): SagaState.FAILED,
    (SagaState.IN_PROGRESS, StateEvent.COMPLETE): SagaState.SUCCEEDED,
    (SagaState.IN_PROGRESS, StateEvent.ROLL_BACK): SagaState.COMPENSATING,
    (SagaState.IN_PROGRESS, StateEvent.FAIL): SagaState.FAILED,
    (SagaState.COMPENSATING, StateEvent.ALL_COMPENSATED): SagaState.FAILED,
    (SagaState.COMPENSATING, StateEvent.GIVE_UP): SagaState.PARTIALLY_COMPENSATED,
    (SagaState.FAILED, StateEvent.RETRY): SagaState.PENDING,
    (SagaState.PARTIALLY_COMPENSATED, StateEvent.RETRY_COMPENSATIONS): SagaState.COMPENSATING,
    (SagaState.PARTIALLY_COMPENSATED, StateEvent.RESOLVE): SagaState.FAILED,
    (SagaState.SUCCEEDED, StateEvent.COMPENSATE): SagaState.COMPENSATING,
}

TERMINAL = frozenset({SagaState.SUCCEEDED, SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED})
UNFINISHED = frozenset(SagaState) - TERMINAL


def state_after(state: SagaState, event: StateEvent) -> SagaState:
    """Return the state that `event` leads to; KeyError if `state` has no such arrow."""
    return ARROWS[state, event]
