"""Durable sagas for Django: steps with compensations that survive any crash.

This module imports no models, so it can be imported before the app registry is ready.
"""

from .definition.context import StepContext
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
from .definition.saga import Saga, SagaStep
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
