"""The rows: executions with their history, workers, bulk acts, and what clients have asked for."""

from .batches import SagaBatch, SagaBatchRow
from .clients import IdempotencyKey
from .desks import Compensation, Definition, Operations, Provider
from .executions import PRIORITIES, STATES, SagaExecution
from .history import LOST_LEASE, SagaEvent, SagaReference, StepRun
from .ids import first_uuid_at, time_ordered_uuid
from .workers import MissingSaga, SagaWorker

__all__ = [
    "LOST_LEASE",
    "PRIORITIES",
    "STATES",
    "Compensation",
    "Definition",
    "IdempotencyKey",
    "MissingSaga",
    "Operations",
    "Provider",
    "SagaBatch",
    "SagaBatchRow",
    "SagaEvent",
    "SagaExecution",
    "SagaReference",
    "SagaWorker",
    "StepRun",
    "first_uuid_at",
    "time_ordered_uuid",
]
