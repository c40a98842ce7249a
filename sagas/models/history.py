"""The models of an execution's history (step runs and events) and of its references."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Direction, Ending, EventKind, Outcome, Resolution

from .executions import SagaExecution
from .fields import JSONTextField, time_ordered_uuid

LOST_LEASE = "lost lease"  # the space makes it different from the name of any exception class


def _choices(members: Any) -> list[tuple[Any, str]]:
    return [(member.value, member.name.lower()) for member in members]


class StepRun(models.Model):
    """A finished attempt. Rows are only added. `sequence` is the version that the checkpoint of the attempt wrote."""

    id = models.UUIDField(primary_key=True, default=time_ordered_uuid)
    execution = models.ForeignKey(SagaExecution, models.CASCADE, related_name="step_runs", db_index=False)
    step = models.CharField(_("step"), max_length=64)
    direction = models.CharField(_("direction"), max_length=16, choices=_choices(Direction))
    run = models.PositiveIntegerField(_("run"))
    attempt = models.PositiveIntegerField(_("attempt"))
    outcome = models.CharField(_("outcome"), max_length=16, choices=_choices(Outcome))
    output = JSONTextField(_("output"), null=True)
    changes = JSONTextField(_("changes"), default=dict)
    error_type = models.CharField(_("error type"), max_length=100, default="", blank=True)
    error_message = models.TextField(_("error message"), default="", blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=255)
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"))
    worker = models.CharField(_("worker"), max_length=100, default="", blank=True)
    sequence = models.BigIntegerField(_("sequence"))
    ending = models.CharField(_("ending"), max_length=16, choices=_choices(Ending), default="", blank=True)
    retry_at = models.DateTimeField(_("retry at"), null=True, blank=True)
    resolution = models.CharField(_("resolution"), max_length=16, choices=_choices(Resolution), default="", blank=True)

    class Meta:
        db_table = "sagas_steprun"
        verbose_name = _("step run")
        verbose_name_plural = _("step runs")
        default_permissions = ("view",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["execution", "sequence"], name="sagas_steprun_sequence")
        ]
        indexes: ClassVar = [
            # The filters of lists by final errors and by attempts in doubt.
            models.Index(
                fields=["error_type", "execution"],
                name="sagas_steprun_error",
                condition=~models.Q(ending="") & ~models.Q(error_type=""),
            ),
            models.Index(
                fields=["execution"],
                name="sagas_steprun_doubt",
                condition=models.Q(outcome__in=[Outcome.UNCERTAIN.value, Outcome.PENDING.value]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step} {self.direction} {self.attempt}: {self.outcome}"

    @property
    def lost(self) -> bool:
        """Whether the worker crashed during the attempt. The next owner has then recorded the attempt."""
        return self.error_type == LOST_LEASE

    def duration(self) -> float:
        """Return the duration of the attempt in seconds."""
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


class SagaEvent(models.Model):
    """An entry of the history that is not an attempt: an operation, a hold or a lost lease. Rows are only added."""

    class Kind(models.TextChoices):
        """Kind of the event."""

        RETRY = EventKind.RETRY.value, _("Retry")
        CANCEL = EventKind.CANCEL.value, _("Cancel")
        COMPENSATE = EventKind.COMPENSATE.value, _("Undo")
        HOLD = EventKind.HOLD.value, _("Hold")
        RELEASE = EventKind.RELEASE.value, _("Release")
        VERIFY = EventKind.VERIFY.value, _("Check with the provider")
        RESOLVE = EventKind.RESOLVE.value, _("Resolve by hand")
        ACKNOWLEDGE = EventKind.ACKNOWLEDGE.value, _("Acknowledge")
        CORRECT = EventKind.CORRECT.value, _("Correct the input")
        NOTE = EventKind.NOTE.value, _("Note")
        REVEAL = EventKind.REVEAL.value, _("Personal data looked at")
        HELD = EventKind.HELD.value, _("Held by the system")
        LOST_LEASE = EventKind.LOST_LEASE.value, _("Worker lost")
        CANCELLED = EventKind.CANCELLED.value, _("Cancel carried out")

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(SagaExecution, models.CASCADE, related_name="events")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    at = models.DateTimeField(_("at"), default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("actor"),
    )
    actor_name = models.CharField(_("who"), max_length=150, default="", blank=True)
    source = models.CharField(_("source"), max_length=16, default="engine")
    reason = models.TextField(_("reason"), default="", blank=True)
    version = models.BigIntegerField(_("version"))
    run = models.PositiveIntegerField(_("run"), default=1)
    data = JSONTextField(_("data"), default=dict)

    class Meta:
        db_table = "sagas_event"
        verbose_name = _("saga event")
        verbose_name_plural = _("saga events")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}"


class SagaReference(models.Model):
    """A value by which people find an execution. It is stored normalized (see `querysets.normalize_reference`)."""

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(SagaExecution, models.CASCADE, related_name="references", db_index=False)
    key = models.CharField(_("key"), max_length=64)
    value = models.CharField(_("value"), max_length=255)

    class Meta:
        db_table = "sagas_reference"
        verbose_name = _("saga reference")
        verbose_name_plural = _("saga references")
        default_permissions = ("view",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["execution", "key", "value"], name="sagas_reference_once")
        ]
        indexes: ClassVar = [models.Index(fields=["value"], name="sagas_reference_value")]

    def __str__(self) -> str:
        return f"{self.key} {self.value}"
