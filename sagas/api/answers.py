"""The shapes of what we answer, for the OpenAPI document; `representation` makes the values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from rest_framework import serializers

from sagas.definition.states import Direction, Ending, Outcome, SagaState
from sagas.operations.permissions import NEEDS
from sagas.presentation.messages import CustomerState, StepStatus

from .serializers import PRIORITIES, RESOLUTIONS


def _words(kind: type[StrEnum]) -> list[str]:
    return [word.value for word in kind if word.value]


OUTCOMES = _words(Outcome)


class Fault(serializers.Serializer[Any]):
    """A field that is not valid."""

    pointer = serializers.CharField(help_text="a JSON pointer as a URI fragment (RFC 6901, section 6)")
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = Fault(many=True, required=False)  # type: ignore[assignment]  # (a field)
    allowed = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="the acts that are possible now"
    )


class Summary(serializers.Serializer[Any]):
    """A line of a list."""

    saga_id = serializers.CharField()
    saga = serializers.CharField()
    state = serializers.ChoiceField(choices=_words(SagaState))
    customer_state = serializers.ChoiceField(choices=_words(CustomerState))
    message = serializers.CharField(help_text="to the customer, in the language that Accept-Language asks for")
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


class StepAnswer(serializers.Serializer[Any]):
    """A step as people read of it."""

    name = serializers.CharField()
    status = serializers.ChoiceField(choices=_words(StepStatus))
    sentence = serializers.CharField()


class Detail(Summary):
    """One execution."""

    steps = StepAnswer(many=True)
    result = serializers.DictField(
        child=serializers.DictField(),
        allow_null=True,
        help_text="step by step what was reported, after success, if it is known which of it the reader may see",
    )


class Page(serializers.Serializer[Any]):
    """Some executions, and where the next ones are."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = Summary(many=True)


class StepRunAnswer(serializers.Serializer[Any]):
    """An attempt; `error_type`, `error` and `worker` for those who may see all executions."""

    step = serializers.CharField()
    direction = serializers.ChoiceField(choices=_words(Direction))
    run = serializers.IntegerField()
    attempt = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=OUTCOMES)
    ending = serializers.ChoiceField(choices=_words(Ending), allow_blank=True)
    resolution = serializers.ChoiceField(choices=RESOLUTIONS, allow_blank=True)
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()
    sequence = serializers.IntegerField()
    error_type = serializers.CharField(required=False, allow_blank=True)
    error = serializers.CharField(required=False, allow_blank=True)
    worker = serializers.CharField(required=False, allow_blank=True)


class EventAnswer(serializers.Serializer[Any]):
    """An act or an incident; `actor`, `source` and `reason` for those who may see all executions."""

    kind = serializers.CharField()
    at = serializers.DateTimeField()
    run = serializers.IntegerField()
    version = serializers.IntegerField()
    actor = serializers.CharField(required=False, allow_blank=True)
    source = serializers.CharField(required=False)  # type: ignore[assignment]  # (a field)
    reason = serializers.CharField(required=False, allow_blank=True)


class HistoryAnswer(serializers.Serializer[Any]):
    """All that has happened, in order."""

    step_runs = StepRunAnswer(many=True)
    events = EventAnswer(many=True)


class CallAnswer(serializers.Serializer[Any]):
    """A call that an act would make."""

    step = serializers.CharField()
    direction = serializers.ChoiceField(choices=_words(Direction))


class PreviewAnswer(serializers.Serializer[Any]):
    """What an act would do; send `version` with the act, and it is done only if nothing has moved."""

    action = serializers.ChoiceField(choices=[operation.value for operation in NEEDS])
    saga_id = serializers.CharField()
    version = serializers.IntegerField()
    sentence = serializers.CharField()
    calls = CallAnswer(many=True)
    not_repeated = serializers.ListField(child=serializers.CharField())
    in_doubt = serializers.ListField(child=serializers.CharField())


class StepDefinition(serializers.Serializer[Any]):
    """A step; times are in seconds."""

    name = serializers.CharField()
    compensated = serializers.BooleanField()
    timeout = serializers.FloatField()
    retry_count = serializers.IntegerField()
    idempotent = serializers.BooleanField()
    pivot = serializers.BooleanField()
    optional = serializers.BooleanField()


class Definition(serializers.Serializer[Any]):
    """A saga that can be started."""

    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    priority = serializers.ChoiceField(choices=list(PRIORITIES))
    steps = StepDefinition(many=True)
    input = serializers.DictField(allow_null=True, help_text="JSON schema (2020-12) of `context`; null = any")


class Numbers(serializers.Serializer[Any]):
    """Over the finished executions; durations in seconds."""

    total = serializers.IntegerField()
    by_state = serializers.DictField(child=serializers.IntegerField())
    success_rate = serializers.FloatField(min_value=0, max_value=1)
    avg_duration_seconds = serializers.FloatField()
    p50_duration_seconds = serializers.FloatField()
    p95_duration_seconds = serializers.FloatField()


class StatsAnswer(Numbers):
    """Numbers over all sagas, and over each."""

    sagas = serializers.DictField(child=Numbers())
