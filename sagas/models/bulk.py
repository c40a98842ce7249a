"""The models of bulk operations and their items."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .executions import SagaExecution


class BulkOperation(models.Model):
    """One operation on many executions that a user has confirmed. Workers carry out a few items at a time."""

    id = models.BigAutoField(primary_key=True)
    token = models.UUIDField(_("token"), unique=True)
    operation = models.CharField(_("operation"), max_length=16)
    reason = models.TextField(_("reason"))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("actor")
    )
    actor_name = models.CharField(_("who"), max_length=150)
    source = models.CharField(_("source"), max_length=16)
    language = models.CharField(max_length=16)  # the language of the user who confirmed, for the texts of refusals
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        db_table = "sagas_bulkoperation"
        verbose_name = _("bulk operation")
        verbose_name_plural = _("bulk operations")
        default_permissions = ("view",)
        indexes: ClassVar = [
            # A partial index, because workers look for unfinished bulk operations every second and rarely find any.
            models.Index(fields=["id"], name="sagas_bulkoperation_open", condition=models.Q(finished_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.pk}"


class BulkItem(models.Model):
    """One execution of a bulk operation: its `version` at the confirmation, and the result of the operation."""

    class Status(models.TextChoices):
        """The progress of an item."""

        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        REFUSED = "refused", _("Refused")

    id = models.BigAutoField(primary_key=True)
    bulk_operation = models.ForeignKey(BulkOperation, models.CASCADE, related_name="items", db_index=False)
    execution = models.ForeignKey(SagaExecution, models.CASCADE, related_name="+")
    version = models.BigIntegerField(_("version"))
    status = models.CharField(_("status"), max_length=16, choices=Status.choices, default=Status.WAITING)
    sentence = models.TextField(_("result"), default="", blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        db_table = "sagas_bulkitem"
        verbose_name = _("bulk item")
        verbose_name_plural = _("bulk items")
        default_permissions = ("view",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["bulk_operation", "execution"], name="sagas_bulkitem_once")
        ]
        indexes: ClassVar = [models.Index(fields=["bulk_operation", "status"], name="sagas_bulkitem_status")]

    def __str__(self) -> str:
        return f"{self.bulk_operation} {self.execution}"
