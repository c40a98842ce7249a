"""The models: executions and their history, workers, bulk operations and idempotency keys."""

from .admin_pages import Compensation, Definition, Operations, Provider
from .bulk import BulkItem, BulkOperation
from .executions import PRIORITIES, STATES, IdempotencyKey, SagaExecution
from .fields import first_uuid_at, time_ordered_uuid
from .history import LOST_LEASE, SagaEvent, SagaReference, StepRun
from .workers import MissingSaga, SagaWorker

__all__ = [
    "LOST_LEASE",
    "PRIORITIES",
    "STATES",
    "BulkItem",
    "BulkOperation",
    "Compensation",
    "Definition",
    "IdempotencyKey",
    "MissingSaga",
    "Operations",
    "Provider",
    "SagaEvent",
    "SagaExecution",
    "SagaReference",
    "SagaWorker",
    "StepRun",
    "first_uuid_at",
    "time_ordered_uuid",
]
