"""The models of executions, and of the idempotency keys that API clients send when they start executions."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sagas.definition.states import Priority, SagaState

from .clock import CLOCK
from .fields import JSONTextField, StateField
from .querysets import ExecutionQuerySet

if TYPE_CHECKING:
    from .history import StepRun

STATES = [
    (SagaState.PENDING.value, _("Pending")),
    (SagaState.IN_PROGRESS.value, _("In progress")),
    (SagaState.COMPENSATING.value, _("Undoing")),
    (SagaState.SUCCEEDED.value, _("Succeeded")),
    (SagaState.FAILED.value, _("Failed")),
    (SagaState.PARTIALLY_COMPENSATED.value, _("Partly undone")),
]
PRIORITIES = [
    (Priority.LOW.value, _("low")),
    (Priority.NORMAL.value, _("normal")),
    (Priority.HIGH.value, _("high")),
]


class SagaExecution(models.Model):
    """One execution of a saga: its input, state and position, and its lease."""

    id = models.BigAutoField(primary_key=True)
    saga_id = models.CharField(_("saga id"), max_length=150)
    saga_name = models.CharField(_("saga"), max_length=64)
    state = StateField(_("state"), max_length=24, choices=STATES, default=SagaState.PENDING)
    input = JSONTextField(_("input"), default=dict)
    context = JSONTextField(_("context"), default=dict)
    plan = JSONTextField(_("plan"), default=list)
    run = models.PositiveIntegerField(_("run"), default=1)
    steps_completed = JSONTextField(_("steps completed"), default=list)
    failed_step = models.CharField(_("failed step"), max_length=64, default="", blank=True)
    compensation_performed = models.BooleanField(_("compensation performed"), default=False)
    needs_attention = models.BooleanField(_("needs attention"), default=False)
    held = models.TextField(_("held"), default="", blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
        db_index=False,  # an index in Meta begins with this column
    )
    priority = models.PositiveSmallIntegerField(_("priority"), choices=PRIORITIES, default=Priority.NORMAL.value)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    input_hash = models.CharField(max_length=64, default="")

    # Columns of the engine. `version` fences the writes: a write applies only if the row still has the version that its
    # writer has read. If the row is leased, `due_at` is the end of the lease.
    version = models.BigIntegerField(default=1)
    leased = models.BooleanField(default=False)
    lost = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True, blank=True)
    rank_at = models.DateTimeField(null=True, blank=True)
    pending_request = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001  (NULL means no request; the SQL tests for NULL)
    # Crash recoveries since the last checkpoint. A worker that exits during an attempt decrements this column first,
    # because the next claim increments it.
    recoveries = models.IntegerField(default=0)
    worker = models.CharField(max_length=100, default="", blank=True)
    action_started = models.BooleanField(null=True, default=None)
    pivot_reached = models.BooleanField(default=False)
    budget_since = models.BigIntegerField(default=0)
    keys_since = models.BigIntegerField(default=0)

    # The time of the database at the claim. It is not a column: the query of the claim annotates it.
    claimed_at: dt.datetime
    # Whether the call that returned this object has inserted the row. Not a column.
    just_started = False
    # The unreadable columns, on pages that show an execution although it has such columns. Not a column.
    unreadable: tuple[str, ...] = ()

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        db_table = "sagas_execution"
        verbose_name = _("saga execution")
        verbose_name_plural = _("saga executions")
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("retry_saga", _("Can retry sagas, check with providers and acknowledge")),
            ("cancel_saga", _("Can cancel sagas")),
            ("compensate_saga", _("Can undo finished sagas")),
            ("hold_saga", _("Can hold and release sagas")),
            ("resolve_step", _("Can resolve steps by hand")),
            ("edit_context", _("Can correct the input of sagas")),
            ("view_personal_data", _("Can see personal data")),
            ("export_saga", _("Can export sagas")),
        ]
        constraints: ClassVar = [models.UniqueConstraint(fields=["saga_id"], name="sagas_execution_saga_id")]
        indexes: ClassVar = [
            models.Index(
                fields=["priority", "due_at"], name="sagas_execution_due", condition=models.Q(due_at__isnull=False)
            ),
            # Rows that a worker has leased, also if the worker has crashed. The condition is written with __in, because
            # Django 5.2 and 6.1 compile `leased=True` to different SQL. SQLite uses a partial index only if the query
            # has the same SQL as the index.
            models.Index(
                fields=["due_at"],
                name="sagas_execution_suspects",
                condition=models.Q(leased__in=[True]) | models.Q(recoveries__gt=0),
            ),
            models.Index(
                fields=["created_at"],
                name="sagas_execution_attention",
                condition=models.Q(needs_attention=True),
            ),
            # The filters of lists, sorted with the newest first.
            models.Index(fields=["created_at"], name="sagas_execution_created"),
            models.Index(fields=["state", "created_at"], name="sagas_execution_state"),
            models.Index(fields=["saga_name", "created_at"], name="sagas_execution_saga"),
            models.Index(
                fields=["failed_step", "created_at"],
                name="sagas_execution_failed",
                condition=~models.Q(failed_step=""),
            ),
            models.Index(
                fields=["created_at"],
                name="sagas_execution_failures",
                condition=~models.Q(failed_step=""),
            ),
            models.Index(
                fields=["priority", "created_at"],
                name="sagas_execution_priority",
                condition=~models.Q(priority=Priority.NORMAL.value),
            ),
            # Queries for executions that ended recently.
            models.Index(
                fields=["finished_at"],
                name="sagas_execution_finished",
                condition=models.Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["owner", "created_at"],
                name="sagas_execution_owner",
                condition=models.Q(owner__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.saga_name} {self.saga_id}"

    @property
    def step_executions(self) -> models.QuerySet[StepRun]:
        """The step runs of the execution's current run, in order."""
        return self.step_runs.filter(run=self.run).order_by("sequence")

    def duration(self) -> float:
        """Return the duration of the current run in seconds: until now if it is unfinished, 0.0 before it begins."""
        if self.started_at is None:
            return 0.0
        end = self.finished_at or CLOCK.by_host()
        return max(0.0, (end - self.started_at).total_seconds())

    def success_rate(self) -> float:
        """Return the share of planned steps that this run completed, 0.0 to 1.0."""
        return len(self.steps_completed) / len(self.plan) if self.plan else 0.0


class IdempotencyKey(models.Model):
    """An `Idempotency-Key` of a client, and the execution that it started. A second request finds this execution.

    `fingerprint` is a hash of the request. All requests with the same key must have the same hash.
    """

    id = models.BigAutoField(primary_key=True)
    client = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("client"))
    key = models.CharField(_("key"), max_length=255)
    fingerprint = models.CharField(max_length=64)
    saga_id = models.CharField(_("saga id"), max_length=150)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        db_table = "sagas_idempotencykey"
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        default_permissions = ("view",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["client", "key"], name="sagas_idempotencykey_once")]

    def __str__(self) -> str:
        return self.key
