"""The rows: executions, their step runs, events and references."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import time
import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .clock import CLOCK
from .fields import JSONTextField, StateField
from .querysets import ExecutionQuerySet
from .states import Direction, Ending, Outcome, Priority, Resolution, SagaState

STATES = [
    (SagaState.PENDING.value, _("Pending")),
    (SagaState.IN_PROGRESS.value, _("In progress")),
    (SagaState.COMPENSATING.value, _("Compensating")),
    (SagaState.SUCCEEDED.value, _("Succeeded")),
    (SagaState.FAILED.value, _("Failed")),
    (SagaState.PARTIALLY_COMPENSATED.value, _("Partially compensated")),
]
PRIORITIES = [
    (Priority.LOW.value, _("low")),
    (Priority.NORMAL.value, _("normal")),
    (Priority.HIGH.value, _("high")),
]
LOST_LEASE = "lost lease"  # what no exception class can be called


def time_ordered_uuid() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): later ones sort after earlier ones, so an index grows at its end."""
    millis = time.time_ns() // 1_000_000
    high, low = _random.getrandbits(12), _random.getrandbits(62)
    return uuid.UUID(int=(millis << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


def first_uuid_at(moment: dt.datetime) -> uuid.UUID:
    """The least that such an id made at that moment can be: rows since then are a range of the primary key."""
    return uuid.UUID(int=math.floor(moment.timestamp() * 1000) << 80)


# Of our own, for a test may seed everybody's; seeded by the system once a process, for asking it for each id costs more
# than all else about the id.
_random = random.Random()  # noqa: S311  (the ids are to be unique, not secret)
os.register_at_fork(after_in_child=_random.seed)


def _choices(members: Any) -> list[tuple[Any, str]]:
    return [(member.value, member.name.lower()) for member in members]


class SagaExecution(models.Model):
    """One saga with one input: where it stands, and who has it in hand."""

    id = models.BigAutoField(primary_key=True)
    saga_id = models.CharField(_("saga id"), max_length=150)
    saga_name = models.CharField(_("saga"), max_length=64)
    state = StateField(_("state"), choices=STATES, default=SagaState.PENDING)
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
        db_index=False,  # the index below has it
    )
    priority = models.PositiveSmallIntegerField(_("priority"), choices=PRIORITIES, default=Priority.NORMAL.value)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    input_hash = models.CharField(max_length=64, default="")

    # The engine's own columns; `version` fences every write, `due_at` of a leased row is the end of its lease.
    version = models.BigIntegerField(default=1)
    leased = models.BooleanField(default=False)
    lost = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True, blank=True)
    rank_at = models.DateTimeField(null=True, blank=True)
    wants = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001  (NULL: nothing, and "wants IS NULL")
    # One below what it was while its owner is about to be ended by us: the next claim counts a death that is none.
    recoveries = models.IntegerField(default=0)
    worker = models.CharField(max_length=100, default="", blank=True)
    begun = models.BooleanField(null=True, default=None)
    pivoting = models.BooleanField(default=False)
    budget_since = models.BigIntegerField(default=0)
    keys_since = models.BigIntegerField(default=0)

    # The database's time at a claim, which its query adds.
    claimed_at: dt.datetime
    # Whether this is the object that its row was made from.
    just_started = False
    # The columns that could not be read, where a page is shown all the same.
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
            ("pause_provider", _("Can pause and resume providers")),
            ("view_personal_data", _("Can see personal data")),
            ("export_saga", _("Can export sagas")),
        ]
        constraints: ClassVar = [models.UniqueConstraint(fields=["saga_id"], name="sagas_execution_saga_id")]
        indexes: ClassVar = [
            models.Index(
                fields=["priority", "due_at"], name="sagas_execution_due", condition=models.Q(due_at__isnull=False)
            ),
            # What a worker has in hand, or has died with. With __in, for Django 5.2 and 6.1 write `leased=True` in two
            # ways, and SQLite uses an index only for the words that it was made with.
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
            # What lists are filtered by, newest first.
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
            # What has ended lately.
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
        """This run's step runs, in order."""
        return self.step_runs.filter(run=self.run).order_by("sequence")

    def duration(self) -> float:
        """Seconds that the current run took, to now while it is unfinished; 0.0 before it begins."""
        if self.started_at is None:
            return 0.0
        end = self.finished_at or CLOCK.by_host()
        return max(0.0, (end - self.started_at).total_seconds())

    def success_rate(self) -> float:
        """Completed steps of this run as a part of the planned ones, 0.0 to 1.0."""
        return len(self.steps_completed) / len(self.plan) if self.plan else 0.0


class StepRun(models.Model):
    """One attempt that has ended; written once, never changed. `sequence` is the version its checkpoint wrote."""

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
            # What lists are filtered by: the errors after which a step was not tried again, and what is in doubt.
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
        """Whether its worker died during the attempt, so that only the next owner could record it."""
        return self.error_type == LOST_LEASE

    def duration(self) -> float:
        """Seconds that the attempt took."""
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


class SagaEvent(models.Model):
    """What step runs cannot tell: acts of people, holds, lost leases; written once, never changed."""

    class Kind(models.TextChoices):
        """What happened."""

        RETRY = "retry", _("Retry")
        CANCEL = "cancel", _("Cancel")
        COMPENSATE = "compensate", _("Undo")
        HOLD = "hold", _("Hold")
        RELEASE = "release", _("Release")
        VERIFY = "verify", _("Check with the provider")
        RESOLVE = "resolve", _("Resolve by hand")
        ACKNOWLEDGE = "acknowledge", _("Acknowledge")
        CORRECT = "correct", _("Correct the input")
        NOTE = "note", _("Note")
        REVEAL = "reveal", _("Personal data looked at")
        HELD = "held", _("Held by the engine")
        LOST_LEASE = "lost_lease", _("Worker lost")
        CANCELLED = "cancelled", _("Cancel carried out")

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
    """A value that people search executions by; `value` is folded (see querysets.fold)."""

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


class IdempotencyKey(models.Model):
    """A key under which a client has started something: the same key again finds the same execution.

    `fingerprint` is of the request, which another use of the key must repeat.
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


class SagaWorker(models.Model):
    """A worker process, as it last reported itself; one that ends in peace takes its row with it.

    Who has not been seen for UNSEEN seconds does not count as alive.
    """

    UNSEEN = 60.0

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=100, unique=True)
    host = models.CharField(_("host"), max_length=64)
    pid = models.PositiveIntegerField(_("process id"))
    process_group = models.PositiveIntegerField(_("process group"))
    cluster = models.CharField(_("cluster"), max_length=100)
    started_at = models.DateTimeField(_("started at"))
    seen_at = models.DateTimeField(_("seen at"))
    running = models.PositiveIntegerField(_("running"), default=0)
    free = models.PositiveIntegerField(_("free"), default=0)
    stuck = models.PositiveIntegerField(_("stuck"), default=0)
    draining = models.BooleanField(_("draining"), default=False)
    claims = models.PositiveBigIntegerField(_("claims"), default=0)
    knows = JSONTextField(_("sagas it knows"), default=list)

    class Meta:
        db_table = "sagas_worker"
        verbose_name = _("saga worker")
        verbose_name_plural = _("saga workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class MissingSaga(models.Model):
    """A saga that has executions due and that no running worker knows; since when, and when that was last seen."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("saga"), max_length=64, unique=True)
    since = models.DateTimeField(_("since"))
    seen_at = models.DateTimeField(_("seen at"))

    class Meta:
        db_table = "sagas_missing"
        verbose_name = _("missing saga")
        verbose_name_plural = _("missing sagas")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class Operations(SagaExecution):
    """The operations home, as an entry of the admin's index: what needs people, and how things go."""

    class Meta:
        proxy = True
        verbose_name = _("operations")
        verbose_name_plural = _("operations")
        default_permissions = ()


class Compensation(SagaExecution):
    """The undos that are open, as an entry of the admin's index."""

    class Meta:
        proxy = True
        verbose_name = _("compensation")
        verbose_name_plural = _("compensations")
        default_permissions = ()


class Provider(SagaExecution):
    """What steps call, as an entry of the admin's index."""

    class Meta:
        proxy = True
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        default_permissions = ()


class Definition(SagaExecution):
    """The registered sagas, as an entry of the admin's index."""

    class Meta:
        proxy = True
        verbose_name = _("definition")
        verbose_name_plural = _("definitions")
        default_permissions = ()


class SagaBatch(models.Model):
    """One act on many executions, as somebody has confirmed it; its rows are carried out a few at a time."""

    id = models.BigAutoField(primary_key=True)
    token = models.UUIDField(_("token"), unique=True)
    act = models.CharField(_("act"), max_length=16)
    reason = models.TextField(_("reason"))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("actor")
    )
    actor_name = models.CharField(_("who"), max_length=150)
    source = models.CharField(_("source"), max_length=16)
    language = models.CharField(max_length=16)  # of who confirmed it, in which its rows are told
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        db_table = "sagas_batch"
        verbose_name = _("bulk act")
        verbose_name_plural = _("bulk acts")
        default_permissions = ("view",)
        indexes: ClassVar = [
            # What workers look for once a second, and mostly find nothing.
            models.Index(fields=["id"], name="sagas_batch_open", condition=models.Q(finished_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.act} {self.pk}"


class SagaBatchRow(models.Model):
    """What a bulk act is to do to one execution, as it was at `version`, and what has become of that."""

    class Status(models.TextChoices):
        """How far it is."""

        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        REFUSED = "refused", _("Refused")

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(SagaBatch, models.CASCADE, related_name="rows", db_index=False)
    execution = models.ForeignKey(SagaExecution, models.CASCADE, related_name="+")
    version = models.BigIntegerField(_("version"))
    status = models.CharField(_("status"), max_length=16, choices=Status.choices, default=Status.WAITING)
    sentence = models.TextField(_("what came of it"), default="", blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        db_table = "sagas_batchrow"
        verbose_name = _("row of a bulk act")
        verbose_name_plural = _("rows of bulk acts")
        default_permissions = ("view",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch", "execution"], name="sagas_batchrow_once")]
        indexes: ClassVar = [models.Index(fields=["batch", "status"], name="sagas_batchrow_status")]

    def __str__(self) -> str:
        return f"{self.batch} {self.execution}"
