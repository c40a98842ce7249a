"""Durable sagas for Django: steps with compensations that survive any crash.

This module is free of models and of Django, so it may be imported early.
"""

from .definition.exceptions import (
    ActRefused,
    DefinitionError,
    InsideTransaction,
    InvalidInput,
    OutcomeUnknown,
    RetryLater,
    SagaConflict,
    SagaError,
    StepFailed,
    StepTimeout,
    StillPending,
    UnknownExecution,
    UnknownSaga,
)
from .definition.registry import register
from .definition.saga import Saga, SagaStep, StepContext
from .definition.states import Priority, SagaState

__all__ = [
    "ActRefused",
    "DefinitionError",
    "InsideTransaction",
    "InvalidInput",
    "OutcomeUnknown",
    "Priority",
    "RetryLater",
    "Saga",
    "SagaConflict",
    "SagaError",
    "SagaState",
    "SagaStep",
    "StepContext",
    "StepFailed",
    "StepTimeout",
    "StillPending",
    "UnknownExecution",
    "UnknownSaga",
    "register",
]
