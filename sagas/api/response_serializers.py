"""Serializers that describe the responses in the OpenAPI document. `representation` builds the responses."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from rest_framework import serializers

from sagas.definition.states import CustomerState, Direction, Ending, Outcome, SagaState
from sagas.operations.permissions import NEEDS
from sagas.presentation.step_status import StepStatus

from .serializers import PRIORITIES, RESOLUTIONS


def _choices(enum: type[StrEnum]) -> list[str]:
    return [member.value for member in enum if member.value]


OUTCOMES = _choices(Outcome)


class FieldErrorSerializer(serializers.Serializer[Any]):
    """A validation error of one field."""

    pointer = serializers.CharField(help_text="a JSON pointer as a URI fragment (RFC 6901, section 6)")
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # (a field)
    allowed = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="the operations that are allowed now"
    )


class ExecutionSummarySerializer(serializers.Serializer[Any]):
    """An execution in a list."""

    saga_id = serializers.CharField()
    saga = serializers.CharField()
    state = serializers.ChoiceField(choices=_choices(SagaState))
    customer_state = serializers.ChoiceField(choices=_choices(CustomerState))
    message = serializers.CharField(help_text="for the customer, in the language of Accept-Language")
    run = serializers.IntegerField()
    steps_planned = serializers.IntegerField()
    steps_completed = serializers.ListField(child=serializers.CharField())
    failed_step = serializers.CharField(allow_blank=True)
    compensation_performed = serializers.BooleanField()
    needs_attention = serializers.BooleanField()
    held = serializers.BooleanField()
    cancelling = serializers.BooleanField()
    priority = serializers.ChoiceField(choices=list(PRIORITIES))
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField()


class StepSerializer(serializers.Serializer[Any]):
    """A step with its status, and a sentence in the reader's language."""

    name = serializers.CharField()
    status = serializers.ChoiceField(choices=_choices(StepStatus))
    sentence = serializers.CharField()


class ExecutionSerializer(ExecutionSummarySerializer):
    """One execution."""

    steps = StepSerializer(many=True)
    result = serializers.DictField(
        child=serializers.DictField(),
        allow_null=True,
        help_text="the outputs by step, after success; null if it is unknown which values are personal",
    )


class ExecutionPageSerializer(serializers.Serializer[Any]):
    """A page of executions, with links to the next and previous pages."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = ExecutionSummarySerializer(many=True)


class StepRunSerializer(serializers.Serializer[Any]):
    """An attempt. `error_type`, `error` and `worker` need the permission to view all executions."""

    step = serializers.CharField()
    direction = serializers.ChoiceField(choices=_choices(Direction))
    run = serializers.IntegerField()
    attempt = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=OUTCOMES)
    ending = serializers.ChoiceField(choices=_choices(Ending), allow_blank=True)
    resolution = serializers.ChoiceField(choices=RESOLUTIONS, allow_blank=True)
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()
    sequence = serializers.IntegerField()
    error_type = serializers.CharField(required=False, allow_blank=True)
    error = serializers.CharField(required=False, allow_blank=True)
    worker = serializers.CharField(required=False, allow_blank=True)


class EventSerializer(serializers.Serializer[Any]):
    """An operation or incident. `actor`, `source` and `reason` need the permission to view all executions."""

    kind = serializers.CharField()
    at = serializers.DateTimeField()
    run = serializers.IntegerField()
    version = serializers.IntegerField()
    actor = serializers.CharField(required=False, allow_blank=True)
    source = serializers.CharField(required=False)  # type: ignore[assignment]  # (a field)
    reason = serializers.CharField(required=False, allow_blank=True)


class HistorySerializer(serializers.Serializer[Any]):
    """All attempts and events, in order."""

    step_runs = StepRunSerializer(many=True)
    events = EventSerializer(many=True)


class CallSerializer(serializers.Serializer[Any]):
    """A call that an operation would make."""

    step = serializers.CharField()
    direction = serializers.ChoiceField(choices=_choices(Direction))


class PreviewSerializer(serializers.Serializer[Any]):
    """What an operation would do. Send `version` with the operation to refuse it if the execution has changed."""

    action = serializers.ChoiceField(choices=[operation.value for operation in NEEDS])
    saga_id = serializers.CharField()
    version = serializers.IntegerField()
    sentence = serializers.CharField()
    calls = CallSerializer(many=True)
    not_repeated = serializers.ListField(child=serializers.CharField())
    in_doubt = serializers.ListField(child=serializers.CharField())


class StepDefinitionSerializer(serializers.Serializer[Any]):
    """A step. Times are in seconds."""

    name = serializers.CharField()
    compensated = serializers.BooleanField()
    timeout = serializers.FloatField()
    retry_count = serializers.IntegerField()
    idempotent = serializers.BooleanField()
    pivot = serializers.BooleanField()
    optional = serializers.BooleanField()


class DefinitionSerializer(serializers.Serializer[Any]):
    """A registered saga."""

    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    priority = serializers.ChoiceField(choices=list(PRIORITIES))
    steps = StepDefinitionSerializer(many=True)
    input = serializers.DictField(allow_null=True, help_text="JSON schema (2020-12) of `context`; null = any")


class SagaStatsSerializer(serializers.Serializer[Any]):
    """Statistics of finished executions. Durations are in seconds."""

    total = serializers.IntegerField()
    by_state = serializers.DictField(child=serializers.IntegerField())
    success_rate = serializers.FloatField(min_value=0, max_value=1)
    avg_duration_seconds = serializers.FloatField()
    p50_duration_seconds = serializers.FloatField()
    p95_duration_seconds = serializers.FloatField()


class StatsSerializer(SagaStatsSerializer):
    """Statistics of all sagas, and of each saga."""

    sagas = serializers.DictField(child=SagaStatsSerializer())
