"""The state machine of an execution: states, events and arrows. An arrow leads from a state, by an event, to a state.

Guards, admin buttons and API errors derive from `ARROWS`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class SagaState(StrEnum):
    """The state of an execution. The database and the API use the values."""

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
    """The function that an attempt called. RESOLVED: no function, but a person recorded the outcome."""

    ACTION = "action"
    COMPENSATION = "compensation"
    VERIFY = "verify"
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """How an attempt ended.

    A FAILED attempt certainly had no effect. An UNCERTAIN (in doubt) or PENDING attempt may have had an effect.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    PENDING = "pending"


class Ending(StrEnum):
    """The reason why a step run was the last attempt of its kind. NONE: another attempt may follow."""

    NONE = ""
    REFUSED = "refused"
    SPENT = "spent"
    IMPATIENT = "impatient"
    POISON = "poison"


class Resolution(StrEnum):
    """The outcome of a step as a person found it."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNDONE = "undone"


class EventKind(StrEnum):
    """The kind of a saga event: an operation of an operator, or an incident that the engine recorded."""

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
    """The state of an execution as its customer sees it. The API uses the values."""

    PROCESSING = "processing"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CHECKING = "checking"


class Priority(IntEnum):
    """The order in which due executions are claimed. One level counts as much as waiting for SAGAS["AGEING"]."""

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
    """Return the state to which `event` leads. Raise KeyError if `state` has no arrow for this event."""
    return ARROWS[state, event]
